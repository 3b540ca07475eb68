import { act, render, renderHook } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { describe, expect, it, vi } from "vitest";

import {
  FakeChannel,
  KEY,
  pass,
  savedState,
  SCOPE,
  service,
  settle,
  START,
  store,
  stored,
  Tab,
  useEmptyBrowser,
} from "./doubles";

useEmptyBrowser();

describe("the hook", () => {
  it("loads, listens and saves once for two components in StrictMode", async () => {
    store(savedState());
    const { module, state } = await Tab.open();
    const initialized: boolean[] = [];
    function User({ children }: { children?: ReactNode }) {
      initialized.push(module.useStatePersistence({ server: true, scope: SCOPE }).isInitialized);
      return children;
    }
    render(
      <StrictMode>
        <User>
          <User />
        </User>
      </StrictMode>,
    );
    await settle();
    expect(initialized[0]).toBe(false);
    expect(initialized.at(-1)).toBe(true);
    expect(FakeChannel.open.size).toBe(1);
    expect(service.sockets.size).toBe(1);

    const setItem = vi.spyOn(Storage.prototype, "setItem");
    act(() => state.setActiveProject("Cassini"));
    await pass(1_000);
    expect(setItem.mock.calls.filter(([key]) => key === `${KEY}:acme:ada`)).toHaveLength(1);
    expect(service.callsOf("POST")).toHaveLength(1);
  });

  it("opens a single socket in StrictMode", async () => {
    const opened = vi.fn();
    const Socket = WebSocket;
    vi.stubGlobal(
      "WebSocket",
      class extends Socket {
        constructor(url: string) {
          super(url);
          opened(url);
        }
      },
    );
    await Tab.open({ server: true, scope: SCOPE });
    expect(opened.mock.calls).toEqual([["ws://localhost:3000/api/state/acme/ada/subscribe"]]);
  });

  it("goes on while another component uses it", async () => {
    const tab = await Tab.open({});
    const other = renderHook(() => tab.module.useStatePersistence());
    tab.unmount();
    tab.choose("Apollo");
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
    other.unmount();
    expect(FakeChannel.open.size).toBe(0);
    tab.choose("Cassini");
    await pass(10_000);
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it("saves and listens again after a remount", async () => {
    const tab = await Tab.open({});
    tab.choose("Apollo");
    tab.unmount();
    await tab.mount();
    expect(tab.result).toMatchObject({ isInitialized: true, lastSavedAt: START });
    tab.choose("Cassini");
    await pass(1_000);
    expect(stored()).toMatchObject({ activeProject: "Cassini" });
  });

  it("takes new functions without a restart, and calls the latest", async () => {
    const [first, latest] = [vi.fn(), vi.fn()];
    const tab = await Tab.open({ onError: first });
    const getItem = vi.spyOn(Storage.prototype, "getItem");
    tab.hook!.rerender({ onError: latest, migrate: (old) => old });
    expect(getItem).not.toHaveBeenCalled();
    act(() => tab.module.useDashboardState.setState({ activeProject: 7 as never }));
    await pass(1_000);
    expect(first).not.toHaveBeenCalled();
    expect(latest).toHaveBeenCalledOnce();
  });

  it("applies a changed option", async () => {
    const tab = await Tab.open({});
    tab.hook!.rerender({ debounceMs: 10 });
    tab.choose("Apollo");
    await pass(10);
    expect(stored()).toMatchObject({ activeProject: "Apollo" });
  });

  it("touches nothing if it is not enabled", async () => {
    store(savedState());
    const getItem = vi.spyOn(Storage.prototype, "getItem");
    const tab = await Tab.open({ enabled: false, server: true, scope: SCOPE });
    tab.choose("Cassini");
    act(() => tab.result.forceSave());
    tab.clear();
    await pass(10_000);
    expect(tab.result).toMatchObject({
      isInitialized: false,
      syncStatus: "off",
      lastSavedAt: null,
    });
    expect(tab.state.activeProject).toBe("Cassini");
    expect(stored()).toEqual(savedState());
    expect(service.calls).toEqual([]);
    expect(FakeChannel.open.size).toBe(0);
    expect(getItem).toHaveBeenCalledOnce(); // by this test
    tab.hook!.rerender({ enabled: true });
    expect(tab.result.isInitialized).toBe(true);
  });

  it("logs to the console only on request", async () => {
    const debug = vi.spyOn(console, "debug").mockReturnValue();
    const tab = await Tab.open({});
    tab.choose("Apollo");
    await pass(1_000);
    expect(debug).not.toHaveBeenCalled();
    tab.hook!.rerender({ debug: true });
    tab.choose("Cassini");
    await pass(1_000);
    expect(debug).toHaveBeenCalled();
  });

  it("returns the same functions in each render", async () => {
    const tab = await Tab.open({});
    const { clearPersistedState, forceSave } = tab.result;
    tab.hook!.rerender({});
    expect(tab.result.clearPersistedState).toBe(clearPersistedState);
    expect(tab.result.forceSave).toBe(forceSave);
  });

  it("has another form that returns the store's hook too", async () => {
    const { module } = await Tab.open();
    const { result } = renderHook(() => module.useDashboardStateWithPersistence());
    expect(result.current.useDashboardState).toBe(module.useDashboardState);
    expect(result.current.isInitialized).toBe(true);
  });
});

describe("scopes", () => {
  it("keep the states of two users apart", async () => {
    const tab = await Tab.open({ scope: ["acme", "ada"] });
    tab.choose("Apollo");
    tab.hook!.rerender({ scope: ["acme", "bob"] });
    expect(tab.state.activeProject).toBeNull();
    await pass(10_000);
    expect(Object.keys(localStorage)).toEqual([`${KEY}:acme:ada`, `${KEY}:acme:ada-version`]);
    tab.choose("Cassini");
    tab.hook!.rerender({ scope: ["acme", "ada"] });
    expect(tab.state.activeProject).toBe("Apollo");
    expect(stored(`${KEY}:acme:bob`)).toMatchObject({ activeProject: "Cassini" });
  });

  it("of earlier users are cleared without touching the present one", async () => {
    const tab = await Tab.open({ scope: ["acme", "ada"] });
    tab.choose("Apollo");
    tab.hook!.rerender({ scope: ["acme", "bob"] });
    tab.choose("Cassini");
    act(() => tab.module.clearPersistedState(tab.module.scopedStorageKey(KEY, ["acme", "ada"])));
    await pass(1_000);
    expect(tab.state.activeProject).toBe("Cassini");
    expect(stored(`${KEY}:acme:ada`)).toBeNull();
    expect(stored(`${KEY}:acme:bob`)).not.toBeNull();
  });

  it("cannot be confused by a separator in an id", async () => {
    const { scopedStorageKey } = (await Tab.open()).module;
    expect(scopedStorageKey("k", ["a:b", "c"])).not.toBe(scopedStorageKey("k", ["a", "b:c"]));
    const versionKey = `${scopedStorageKey("k", ["a", "b"])}-version`;
    expect(scopedStorageKey("k", ["a", "b-version"])).not.toBe(versionKey);
  });

  it("cannot share the store at the same time", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const tab = await Tab.open({ scope: ["acme", "ada"] });
    const mount = () =>
      renderHook(() => tab.module.useStatePersistence({ scope: ["acme", "bob"] }));
    expect(mount).toThrow("The store holds the state of");
    tab.choose("Apollo");
    await pass(1_000);
    expect(stored(`${KEY}:acme:ada`)).toMatchObject({ activeProject: "Apollo" });
    expect(stored(`${KEY}:acme:bob`)).toBeNull();
  });

  it.each([
    ["is missing", undefined, "needs a 'scope'"],
    ["has an empty id", ["", "ada"], "The id ''"],
    ["has a slash", ["acme", "a/b"], "The id 'a/b'"],
    ["leads out of the path", ["..", "ada"], "The id '..'"],
  ] as const)("are a TypeError with the server if one %s", async (_, scope, message) => {
    vi.spyOn(console, "error").mockReturnValue();
    const { module } = await Tab.open();
    const options = { server: true, ...(scope && { scope }) };
    expect(() => renderHook(() => module.useStatePersistence(options))).toThrow(message);
    expect(() => renderHook(() => module.useAgentStateSync(scope && { scope }))).toThrow(TypeError);
  });
});
