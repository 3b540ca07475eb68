import { act, renderHook } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import {
  hidePage,
  KEY,
  leavePage,
  pass,
  savedState,
  START,
  store,
  stored,
  Tab,
  useEmptyBrowser,
} from "./doubles";

useEmptyBrowser();

const HOUR = 3_600_000;
const setItem = () => vi.spyOn(Storage.prototype, "setItem");
const savesOf = (spy: ReturnType<typeof setItem>) => spy.mock.calls.filter(([key]) => key === KEY);

describe("loading", () => {
  it("takes the stored state over after the first render", async () => {
    store(savedState());
    const tab = await Tab.open();
    const seen: boolean[] = [];
    renderHook(() => seen.push(tab.module.useStatePersistence().isInitialized));
    expect(seen[0]).toBe(false);
    expect(seen.at(-1)).toBe(true);
    expect(tab.state.activeProject).toBe("Apollo");
  });

  it("does not save what it has loaded", async () => {
    store(savedState());
    const spy = setItem();
    const tab = await Tab.open({});
    await pass(10_000);
    tab.unmount();
    expect(spy).not.toHaveBeenCalled();
    expect(stored()).toEqual(savedState());
  });

  it.each([
    ["is not JSON", "{"],
    ["is not an object", "[]"],
    ["has a wrong type", savedState({ widgets: [] })],
    ["has no version", { timestamp: START }],
  ])("removes a state that %s, and reports it", async (_, value) => {
    store(value);
    const onError = vi.fn();
    const tab = await Tab.open({ onError });
    expect(localStorage).toHaveLength(0);
    expect(tab.state.activeProject).toBeNull();
    expect(tab.result.isInitialized).toBe(true);
    expect(onError.mock.calls.map(([error]) => error.code)).toEqual(["invalid"]);
  });

  it("keeps a state of 24 hours, and removes one that is older", async () => {
    store(savedState({ timestamp: START - 24 * HOUR }));
    const tab = await Tab.open({});
    expect(tab.state.activeProject).toBe("Apollo");
    tab.unmount();
    await pass(1_000);
    const other = await Tab.open({});
    expect(other.state.activeProject).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("migrates an older version", async () => {
    store({ version: 0, timestamp: START - 1_000, project: "Borealis", widgets: {} });
    const migrate = vi.fn((old: Record<string, unknown>) => ({
      ...old,
      activeProject: old["project"],
    }));
    const tab = await Tab.open({ migrate });
    expect(tab.state).toMatchObject({ activeProject: "Borealis", version: 1 });
    expect(migrate).toHaveBeenCalledWith(expect.objectContaining({ project: "Borealis" }), 0);
  });

  it("keeps an older version that is still valid, without a migration", async () => {
    store(savedState({ version: 0 }));
    expect((await Tab.open({})).state.activeProject).toBe("Apollo");
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("no");
      },
    ],
    ["returns something else", () => 7],
  ])("removes a state whose migration %s", async (_, migrate) => {
    store(savedState({ version: 0 }));
    const onError = vi.fn();
    await Tab.open({ migrate, onError });
    expect(localStorage).toHaveLength(0);
    expect(onError).toHaveBeenCalledOnce();
  });

  it("leaves a state of a future version alone, and does not overwrite it", async () => {
    const future = savedState({ version: 2, shape: "new" });
    store(future);
    const onError = vi.fn();
    const tab = await Tab.open({ onError });
    expect(tab.state.activeProject).toBeNull();
    tab.choose("Cassini");
    await pass(10_000);
    tab.unmount();
    expect(stored()).toEqual(future);
    expect(onError.mock.calls.map(([error]) => error.code)).toEqual(["conflict"]);
  });

  it("decides by the version inside the state", async () => {
    store(savedState());
    store("99", `${KEY}-version`);
    expect((await Tab.open({})).state.activeProject).toBe("Apollo");
  });

  it("keeps what was changed before the load, if it is newer", async () => {
    store(savedState());
    const tab = await Tab.open();
    tab.choose("Cassini");
    await tab.mount();
    expect(tab.state.activeProject).toBe("Cassini");
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Cassini" });
  });

  it("never takes loading and errors over", async () => {
    store(savedState({ loading: { isLoading: true, loadingAgents: ["x"] }, errors: { x: "old" } }));
    const tab = await Tab.open();
    act(() => tab.state.setError("own", "kept"));
    await tab.mount();
    expect(tab.state).toMatchObject({ loading: { isLoading: false }, errors: { own: "kept" } });
  });
});

describe("saving", () => {
  it("waits for a pause of one second", async () => {
    const tab = await Tab.open({});
    tab.choose("Apollo");
    await pass(600);
    tab.choose("Cassini");
    await pass(999);
    expect(stored()).toBeNull();
    await pass(1);
    expect(stored()).toMatchObject({
      activeProject: "Cassini",
      version: 1,
      timestamp: START + 600,
    });
    expect(localStorage.getItem(`${KEY}-version`)).toBe("1");
    expect(tab.result.lastSavedAt).toBe(START + 1_600);
  });

  it("saves every five seconds under steady change", async () => {
    const spy = setItem();
    const tab = await Tab.open({});
    for (let tenths = 0; tenths < 110; tenths += 1) {
      tab.choose(String(tenths));
      await pass(100);
    }
    expect(savesOf(spy)).toHaveLength(2);
  });

  it.each([
    ["the page is left", leavePage],
    ["the page is hidden", hidePage],
  ])("saves at once when %s", async (_, leave) => {
    const tab = await Tab.open({});
    tab.choose("Apollo");
    leave();
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it("saves at once when the last component goes", async () => {
    const tab = await Tab.open({});
    tab.choose("Apollo");
    tab.unmount();
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it("saves at once when it is forced, also without a change", async () => {
    const tab = await Tab.open({});
    act(() => tab.result.forceSave());
    expect(stored()).toMatchObject({ activeProject: null, timestamp: START });
    const spy = setItem();
    act(() => tab.result.forceSave());
    expect(spy).not.toHaveBeenCalled();
  });

  it("does not save for loading and errors, nor their values", async () => {
    const spy = setItem();
    const tab = await Tab.open({});
    act(() => tab.state.setLoading({ isLoading: true }));
    act(() => tab.state.setError("x", "failed"));
    await pass(10_000);
    expect(spy).not.toHaveBeenCalled();
    tab.choose("Apollo");
    await pass(1_000);
    expect(stored()).toMatchObject({
      loading: { isLoading: false, loadingAgents: [] },
      errors: {},
    });
  });

  it("stamps a change of a setter that forgets it", async () => {
    store(savedState());
    const tab = await Tab.open({});
    act(() => tab.module.useDashboardState.setState({ activeProject: "Cassini" }));
    expect(tab.state.timestamp).toBe(START);
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Cassini" });
  });

  it("saves a full state that is older than the present one", async () => {
    store(savedState());
    const tab = await Tab.open({});
    const full = { ...tab.state, timestamp: 5, activeProject: "Cassini" };
    act(() => tab.state.setFullState(full));
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Cassini", timestamp: START });
  });

  it("saves what a subscriber of the store changes when a state is loaded", async () => {
    store(savedState());
    const tab = await Tab.open();
    tab.module.useDashboardState.subscribe((state, { activeProject }) => {
      if (activeProject === null && state.activeProject) state.setWidget("seen", true);
    });
    await tab.mount();
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Apollo", widgets: { seen: true } });
  });

  it("cuts alerts and activities to their limits", async () => {
    const tab = await Tab.open({});
    const alerts = Array.from({ length: 60 }, (_, id) => ({
      id: String(id),
      level: "info" as const,
      message: "",
      at: 0,
    }));
    act(() => tab.state.setWidget("alerts", alerts));
    await pass(1_000);
    expect((stored()!["widgets"] as { alerts: unknown[] }).alerts).toHaveLength(50);
  });

  it("takes a stored timestamp in the future for now, and saves later changes", async () => {
    store(savedState({ timestamp: START + 1_000 * HOUR }));
    const tab = await Tab.open({});
    expect(tab.state.timestamp).toBe(START);
    tab.choose("Cassini");
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Cassini", timestamp: START + 1 });
  });

  it("does not overwrite a newer state that another tab has stored", async () => {
    const tab = await Tab.open({ enableCrossTabSync: false });
    tab.choose("Apollo");
    store(savedState({ timestamp: START + 500, activeProject: "Borealis" }));
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Borealis" });
    expect(tab.state.activeProject).toBe("Borealis");
  });

  it("overwrites an older or corrupt state that another program has stored", async () => {
    const tab = await Tab.open({ enableCrossTabSync: false });
    for (const other of [savedState(), "corrupt"]) {
      tab.choose("Apollo");
      store(other);
      await pass(1_000);
      expect(stored()).toMatchObject({ activeProject: "Apollo" });
    }
  });
});

describe("what cannot be saved", () => {
  async function open() {
    store(savedState());
    const onError = vi.fn();
    const tab = await Tab.open({ onError });
    const codes = () => onError.mock.calls.map(([error]) => error.code);
    return { tab, codes };
  }

  it("leaves the last state in place when the quota is used up, and reports it once", async () => {
    const { tab, codes } = await open();
    const spy = setItem().mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    for (const project of ["Borealis", "Cassini"]) {
      tab.choose(project);
      await pass(1_000);
    }
    expect(codes()).toEqual(["quota"]);
    expect(stored()).toEqual(savedState());
    spy.mockRestore();
    tab.choose("Apollo");
    await pass(1_000);
    expect(stored()).toMatchObject({ timestamp: START + 2_000 });
  });

  it("leaves the last state in place if the new one has over 1 MiB of UTF-8", async () => {
    const { tab, codes } = await open();
    act(() => tab.state.setWidget("text", "é".repeat(600_000)));
    await pass(1_000);
    expect(codes()).toEqual(["too_large"]);
    expect(stored()).toEqual(savedState());
  });

  it("leaves the last state in place if the new one is not valid", async () => {
    const { tab, codes } = await open();
    act(() => tab.module.useDashboardState.setState({ activeProject: 7 as never }));
    await pass(1_000);
    expect(codes()).toEqual(["invalid"]);
    expect(stored()).toEqual(savedState());
  });

  it("works without a storage", async () => {
    vi.spyOn(window, "localStorage", "get").mockImplementation(() => {
      throw new DOMException("blocked", "SecurityError");
    });
    const onError = vi.fn();
    const tab = await Tab.open({ onError });
    for (const project of ["Apollo", "Cassini"]) {
      tab.choose(project);
      await pass(1_000);
    }
    expect(tab.state.activeProject).toBe("Cassini");
    expect(tab.result).toMatchObject({ isInitialized: true, lastSavedAt: null });
    tab.clear();
    expect(tab.state.activeProject).toBeNull();
    expect(onError).not.toHaveBeenCalled();
  });

  it("survives a storage that throws on every access", async () => {
    for (const method of ["getItem", "setItem", "removeItem"] as const) {
      vi.spyOn(Storage.prototype, method).mockImplementation(() => {
        throw new Error("broken");
      });
    }
    const tab = await Tab.open({});
    tab.choose("Apollo");
    await pass(1_000);
    tab.clear();
    expect(tab.state.activeProject).toBeNull();
  });
});

describe("hasPersistedState", () => {
  it("is true for a valid state that has not expired", async () => {
    const { hasPersistedState } = (await Tab.open()).module;
    expect(hasPersistedState()).toBe(false);
    store(savedState());
    expect(hasPersistedState()).toBe(true);
    expect(hasPersistedState("other")).toBe(false);
    store("corrupt");
    expect(hasPersistedState()).toBe(false);
    store(savedState({ timestamp: START - 25 * HOUR }));
    expect(hasPersistedState()).toBe(false);
    expect(stored()).not.toBeNull();
  });
});
