import { act, render, screen, within } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { Dashboard } from "../src/components/Dashboard";
import { SyncStatus } from "../src/components/SyncStatus";
import { useDashboardState } from "../src/lib/state";
import { KEY, pass, problem, service, settle, START, stored, useEmptyBrowser } from "./doubles";

useEmptyBrowser();
beforeEach(() => useDashboardState.setState(useDashboardState.getInitialState()));

const button = (name: string) => screen.getByRole("button", { name });

function press(name: string): void {
  act(() => button(name).click());
}

async function show(): Promise<void> {
  render(<Dashboard />);
  await settle();
}

describe("the dashboard", () => {
  it("keeps what is chosen, and forgets it after a clear", async () => {
    await show();
    const select = screen.getByLabelText<HTMLSelectElement>("Active project");
    act(() => {
      select.value = "Cassini";
      select.dispatchEvent(new Event("change", { bubbles: true }));
    });
    press("Save now");
    expect(stored(`${KEY}:demo:me`)).toMatchObject({ activeProject: "Cassini" });
    act(() => {
      select.value = "";
      select.dispatchEvent(new Event("change", { bubbles: true }));
    });
    expect(useDashboardState.getState().activeProject).toBeNull();
    await pass(1_000);
    press("Clear everything");
    await settle();
    expect(localStorage).toHaveLength(0);
    expect(service.stored).toBeNull();
  });

  it("shows the health of the service, and keeps the focus while it asks", async () => {
    await show();
    let answer: (response: Response) => void = () => {};
    vi.stubGlobal("fetch", () => new Promise<Response>((resolve) => (answer = resolve)));
    button("Refresh").focus();
    press("Refresh");
    press("Refreshing…");
    expect(document.activeElement).toBe(button("Refreshing…"));
    answer(new Response());
    await settle();
    expect(screen.getByText("The service is ready.")).toBeDefined();

    press("Refresh");
    answer(problem(503));
    await pass(1);
    expect(screen.getByText(/status 503/)).toBeDefined();
    const alerts = within(screen.getByRole("region", { name: "Alerts" }));
    expect(alerts.getByRole("listitem").textContent).toContain("Error The service was not ready.");

    vi.stubGlobal("fetch", () => Promise.reject("aborted"));
    press("Refresh");
    await settle();
    expect(alerts.getAllByRole("listitem")).toHaveLength(2);
  });

  it("explains a refusal", async () => {
    service.status = 403;
    await show();
    expect(screen.getByRole("alert").textContent).toContain("start it with --dev");
  });

  it("shows other errors", async () => {
    await show();
    service.status = 413;
    act(() => useDashboardState.getState().setActiveProject("Apollo"));
    await pass(1_000);
    const { textContent } = screen.getByRole("alert");
    expect(textContent).toContain("status 413");
    press("Dismiss");
    expect(screen.getByRole("alert").textContent).toBe("");
  });
});

describe("SyncStatus", () => {
  it("shows each status in words of its own, politely", () => {
    const statuses = ["off", "connecting", "online", "offline", "refused"] as const;
    const texts = statuses.map((status) => {
      const { unmount } = render(<SyncStatus status={status} lastSavedAt={null} />);
      const { textContent } = screen.getByRole("status");
      unmount();
      return textContent;
    });
    expect(new Set(texts).size).toBe(statuses.length);
  });

  it("shows when the state was saved, outside of the announcement", () => {
    const { container } = render(<SyncStatus status="online" lastSavedAt={START} />);
    expect(container.querySelector("time")?.dateTime).toBe("2026-03-01T12:00:00.000Z");
    expect(screen.getByRole("status").textContent).toBe("Synchronized");
  });
});
