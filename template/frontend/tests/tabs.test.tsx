import { act } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import {
  FakeChannel,
  KEY,
  leavePage,
  pass,
  returnToPage,
  savedState,
  settle,
  START,
  store,
  stored,
  Tab,
  useEmptyBrowser,
} from "./doubles";

useEmptyBrowser();

const CHANNEL = "BroadcastChannel";
const projects = (...tabs: Tab[]) => tabs.map((tab) => tab.state.activeProject);

/** Post a message as another program of this site may. */
function post(message: unknown): void {
  act(() => new FakeChannel(`${KEY}-sync`).postMessage(message));
}

describe("other tabs", () => {
  it("follow a save at once", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    expect(other.state.activeProject).toBe("Apollo");
    expect(other.result.lastSavedAt).toBe(START);
  });

  it("neither save nor send what they have taken over", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    const [setItem, send] = [
      vi.spyOn(Storage.prototype, "setItem"),
      vi.spyOn(FakeChannel.prototype, "postMessage"),
    ];
    await pass(10_000);
    other.unmount();
    expect(setItem).not.toHaveBeenCalled();
    expect(send).not.toHaveBeenCalled();
  });

  it("keep a newer change of their own", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(500);
    other.choose("Cassini");
    await pass(500);
    expect(projects(one, other)).toEqual(["Apollo", "Cassini"]);
    await pass(500);
    expect(projects(one, other)).toEqual(["Cassini", "Cassini"]);
    expect(stored()).toMatchObject({ activeProject: "Cassini" });
  });

  it("take a newer change in place of a pending one of their own", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({ debounceMs: 3_000 })];
    other.choose("Cassini");
    await pass(500);
    one.choose("Apollo");
    await pass(10_000);
    expect(projects(one, other)).toEqual(["Apollo", "Apollo"]);
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it("ignore messages that are stale, invalid, expired, or about another key", async () => {
    store(savedState());
    const tab = await Tab.open({});
    const state = savedState({ timestamp: START, activeProject: "Cassini" });
    for (const message of [
      null,
      "text",
      { kind: "saved", state },
      { key: KEY, kind: "other", state },
      { key: KEY, kind: "cleared" },
      { key: `${KEY}:acme:ada`, kind: "saved", state },
      { key: `${KEY}:acme:ada`, kind: "cleared", at: START },
      { key: KEY, kind: "saved", state: { ...state, timestamp: START - 2_000 } },
      { key: KEY, kind: "saved", state: { ...state, widgets: 7 } },
      { key: KEY, kind: "saved", state: { ...state, version: 2 } },
    ]) {
      post(message);
    }
    await pass(1_000);
    expect(tab.state.activeProject).toBe("Apollo");
    post({ key: KEY, kind: "saved", state });
    expect(tab.state.activeProject).toBe("Cassini");
  });

  it("do not let a timestamp in the future win for ever", async () => {
    const tab = await Tab.open({});
    post({ key: KEY, kind: "saved", state: savedState({ timestamp: START + 1e9 }) });
    expect(tab.state.activeProject).toBe("Apollo");
    await pass(100);
    post({
      key: KEY,
      kind: "saved",
      state: savedState({ timestamp: START + 100, activeProject: "Cassini" }),
    });
    expect(tab.state.activeProject).toBe("Cassini");
  });

  it("are left alone without enableCrossTabSync", async () => {
    const [one, other] = [await Tab.open({ enableCrossTabSync: false }), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    expect(other.state.activeProject).toBeNull();
    expect(FakeChannel.open.size).toBe(1);
  });

  it("close their channel while the page is in the back/forward cache", async () => {
    const tab = await Tab.open({});
    leavePage();
    expect(FakeChannel.open.size).toBe(0);
    store(savedState({ timestamp: START + 1 }));
    await pass(10);
    await returnToPage();
    expect(tab.state.activeProject).toBe("Apollo");
    expect(FakeChannel.open.size).toBe(1);
    await returnToPage();
    expect(FakeChannel.open.size).toBe(1);
  });
});

describe("clear", () => {
  it("empties the storage and every tab, and cancels the pending save of another tab", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    other.choose("Cassini");
    act(() => other.state.setError("x", "own"));
    one.clear();
    await pass(10_000);
    expect(projects(one, other)).toEqual([null, null]);
    expect(other.state.errors).toEqual({});
    expect(localStorage).toHaveLength(0);
    one.unmount();
    other.unmount();
    expect(localStorage).toHaveLength(0);
  });

  it("cancels the own pending save", async () => {
    const tab = await Tab.open({});
    tab.choose("Apollo");
    tab.clear();
    leavePage();
    await pass(10_000);
    tab.unmount();
    expect(localStorage).toHaveLength(0);
    expect(tab.result.lastSavedAt).toBeNull();
  });

  it.each(["before", "after"])("wins over a save whose message arrives %s it", async (order) => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    other.choose("Cassini");
    await pass(999);
    FakeChannel.gate.hold();
    if (order === "before") await pass(1);
    one.clear();
    await pass(1_000); // the other tab saves, if it has not yet
    FakeChannel.gate.release();
    await pass(10_000);
    expect(projects(one, other)).toEqual([null, null]);
    expect(localStorage).toHaveLength(0);
  });

  it("is noticed at the next save if its message is lost", async () => {
    const options = { enableCrossTabSync: false };
    const [one, other] = [await Tab.open(options), await Tab.open(options)];
    one.choose("Apollo");
    await pass(1_000);
    other.unmount();
    await other.mount(options);
    one.clear();
    other.choose("Cassini");
    await pass(1_000);
    expect(projects(one, other)).toEqual([null, null]);
    expect(localStorage).toHaveLength(0);
  });

  it("is noticed by a page that returns from the back/forward cache", async () => {
    store(savedState());
    const tab = await Tab.open({});
    leavePage();
    localStorage.clear();
    await returnToPage();
    expect(tab.state.activeProject).toBeNull();
  });

  it("is noticed when the hook is used again", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    other.unmount();
    one.clear();
    await other.mount({});
    await pass(1_000);
    expect(other.state.activeProject).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("does not stop later changes from being saved and seen", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    one.clear();
    one.choose("Cassini"); // in the same millisecond
    await pass(1_000);
    expect(projects(one, other)).toEqual(["Cassini", "Cassini"]);
  });

  it("works as a function, with and without a component that uses the key", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    other.choose("Apollo");
    await pass(1_000);
    act(() => one.module.clearPersistedState());
    expect(projects(one, other)).toEqual([null, null]);

    const [third] = [await Tab.open()];
    other.choose("Cassini");
    await pass(1_000);
    act(() => third.module.clearPersistedDashboardState());
    expect(projects(one, other)).toEqual([null, null]);
    expect(localStorage).toHaveLength(0);

    store(savedState(), "other");
    third.module.clearPersistedState("other");
    expect(localStorage).toHaveLength(0);
  });

  it("reaches the tabs after the component is gone", async () => {
    const [one, other] = [await Tab.open({}), await Tab.open({})];
    one.choose("Apollo");
    await pass(1_000);
    one.unmount();
    act(() => one.module.clearPersistedState());
    expect(projects(one, other)).toEqual([null, null]);
    expect(FakeChannel.open.size).toBe(1);
  });
});

describe("without BroadcastChannel", () => {
  function change(key: string | null, oldValue: unknown, newValue: unknown): void {
    const text = (value: unknown) =>
      value === null || typeof value === "string" ? value : JSON.stringify(value);
    const event = new StorageEvent("storage", {
      key,
      oldValue: text(oldValue),
      newValue: text(newValue),
    });
    act(() => void window.dispatchEvent(event));
  }

  async function open(): Promise<Tab> {
    vi.stubGlobal(CHANNEL, undefined);
    store(savedState());
    return Tab.open({});
  }

  it("the storage event brings saves", async () => {
    const tab = await open();
    change("other", null, savedState({ timestamp: START, activeProject: "Borealis" }));
    expect(tab.state.activeProject).toBe("Apollo");
    change(KEY, savedState(), savedState({ timestamp: START, activeProject: "Cassini" }));
    expect(tab.state.activeProject).toBe("Cassini");
    await pass(1_000);
    tab.choose("Apollo");
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it.each([
    ["of this key", () => change(KEY, savedState(), null)],
    ["of everything", () => change(null, null, null)],
  ])("the storage event brings a removal %s", async (_, remove) => {
    const tab = await open();
    tab.choose("Cassini");
    localStorage.clear();
    remove();
    await pass(10_000);
    expect(tab.state.activeProject).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("the removal of a corrupt or expired state by another tab is not a clear", async () => {
    const tab = await open();
    change(KEY, "corrupt", null);
    change(KEY, savedState({ timestamp: START - 90_000_000 }), null);
    expect(tab.state.activeProject).toBe("Apollo");
  });

  it("a clear works without a component, and nothing listens after the last one", async () => {
    const tab = await open();
    tab.unmount();
    change(KEY, savedState(), savedState({ timestamp: START, activeProject: "Cassini" }));
    expect(tab.state.activeProject).toBe("Apollo");
    (await Tab.open()).module.clearPersistedState();
    await settle();
    expect(localStorage).toHaveLength(0);
  });
});
