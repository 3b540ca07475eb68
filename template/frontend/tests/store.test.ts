import { describe, expect, it, vi } from "vitest";

import {
  MAX_ACTIVITIES,
  MAX_ALERTS,
  STATE_VERSION,
  useDashboardState,
  validateDashboardState,
} from "../src/lib/state";
import { savedState, useEmptyBrowser } from "./doubles";

useEmptyBrowser();

const alert = (id: number) => ({ id: String(id), level: "info" as const, message: "m", at: 1 });
const activity = (id: number) => ({ id: String(id), agent: "a", text: "t", at: 1 });
const state = () => useDashboardState.getState();

describe("the store", () => {
  it("gives every change a later timestamp, also if the clock was put back", () => {
    const times = [];
    for (const change of [
      () => state().setActiveProject("Apollo"),
      () => state().setWidget("page", { size: 20 }),
      () => state().addAlert(alert(1)),
      () => state().addActivity(activity(1)),
      () => state().reset(),
    ]) {
      change();
      times.push(state().timestamp);
      vi.setSystemTime(Date.now() - 3_600_000);
    }
    expect(times).toEqual([...new Set(times)].sort((one, other) => one - other));
    expect(state().activeProject).toBeNull();
  });

  it("does not count loading and errors as changes", () => {
    const { timestamp } = state();
    state().setLoading({ isLoading: true });
    state().setError("health", "down");
    expect(state().loading).toEqual({ isLoading: true, loadingAgents: [] });
    expect(state().errors).toEqual({ health: "down" });
    state().setError("health", null);
    expect(state().errors).toEqual({});
    expect(state().timestamp).toBe(timestamp);
  });

  it("keeps the newest alerts and activities within their limits", () => {
    for (let id = 0; id <= MAX_ACTIVITIES; id += 1) {
      state().addAlert(alert(id));
      state().addActivity(activity(id));
    }
    const { alerts, activities } = state().widgets;
    expect(alerts).toHaveLength(MAX_ALERTS);
    expect(activities).toHaveLength(MAX_ACTIVITIES);
    expect(alerts?.[0]?.id).toBe(String(MAX_ACTIVITIES));
  });

  it("replaces the full state as it is given", () => {
    const full = validateDashboardState(savedState({ widgets: { page: 7 } }))!;
    state().setFullState(full);
    expect(state()).toMatchObject(full);
  });
});

describe("validateDashboardState", () => {
  it("returns a valid state, with its lists cut", () => {
    const alerts = Array.from({ length: MAX_ALERTS + 1 }, (_, id) => alert(id));
    const valid = validateDashboardState(
      savedState({ widgets: { alerts, other: [1, { a: null }] } }),
    );
    expect(valid?.version).toBe(STATE_VERSION);
    expect(valid?.widgets.alerts).toHaveLength(MAX_ALERTS);
    expect(valid?.widgets["other"]).toEqual([1, { a: null }]);
  });

  it.each([
    ["a text", "state"],
    ["another version", savedState({ version: 2 })],
    ["a wrong type", savedState({ activeProject: 7 })],
    [
      "an alert of an unknown level",
      savedState({ widgets: { alerts: [{ ...alert(1), level: "loud" }] } }),
    ],
  ])("returns null for %s", (_, value) => {
    expect(validateDashboardState(value)).toBeNull();
  });
});
