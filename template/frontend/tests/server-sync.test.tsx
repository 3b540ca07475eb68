import { act, renderHook } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import type { UseStatePersistenceOptions } from "../src/lib/state";
import {
  FakeChannel,
  type FakeSocket,
  hidePage,
  KEY,
  leavePage,
  pass,
  returnToPage,
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

const SCOPED = () => `${KEY}:acme:ada`;
const onError = vi.fn();
const codes = () => onError.mock.calls.map(([error]) => error.code);
const posted = () => service.callsOf("POST").map(({ body }) => body!["activeProject"]);
const onServer = () => service.stored?.state["activeProject"] ?? null;

async function open(options: UseStatePersistenceOptions = {}): Promise<Tab> {
  onError.mockReset();
  return Tab.open({ server: true, scope: SCOPE, onError, ...options });
}

/** Change the state on the server as another device does. */
function changeElsewhere(project: string, timestamp = Date.now()): void {
  act(() => service.save(savedState({ timestamp, activeProject: project })));
}

async function choose(tab: Tab, project: string): Promise<void> {
  tab.choose(project);
  await pass(1_000);
}

/** Let another device be another browser: with a storage of its own. */
function storageOfAnotherDevice(): void {
  localStorage.clear();
  FakeChannel.open.clear();
}

describe("the server", () => {
  it("brings the state of another device, after that of the browser", async () => {
    service.save(savedState({ activeProject: "Cassini" }));
    store(savedState({ timestamp: START - 2_000 }), SCOPED());
    service.messages.hold();
    const tab = await open();
    expect(tab.state.activeProject).toBe("Apollo");
    expect(tab.result.syncStatus).toBe("connecting");
    service.messages.release();
    await settle();
    expect(tab.state.activeProject).toBe("Cassini");
    expect(tab.result.syncStatus).toBe("online");
    expect(stored(SCOPED())).toMatchObject({ activeProject: "Cassini" });
  });

  it("takes each save, with the transient fields in the shape of the schema", async () => {
    const tab = await open();
    act(() => tab.state.setLoading({ isLoading: true, loadingAgents: ["x"] }));
    await choose(tab, "Apollo");
    const [call] = service.callsOf("POST");
    expect(call).toMatchObject({
      headers: { "If-None-Match": "*", "Content-Type": "application/json" },
      body: { loading: { isLoading: false, loadingAgents: [] }, errors: {} },
      keepalive: true,
    });
    await choose(tab, "Cassini");
    expect(service.callsOf("POST")[1]!.headers).toMatchObject({ "If-Match": '"1"' });
    expect(service.callsOf("GET")).toEqual([]);
  });

  it("brings later changes of another device, which are not sent back", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    changeElsewhere("Borealis");
    expect(tab.state.activeProject).toBe("Borealis");
    await pass(60_000);
    tab.unmount();
    expect(posted()).toEqual(["Apollo"]);
  });

  it("does not undo a change that is not saved yet with an older one", async () => {
    const tab = await open();
    tab.choose("Apollo");
    changeElsewhere("Borealis", START - 1);
    expect(tab.state.activeProject).toBe("Apollo");
    await pass(1_000);
    expect(onServer()).toBe("Apollo");
  });

  it("decides by its order if the clock of another device is slow", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.stored!.state["timestamp"] = 0; // the service has let it pass
    changeElsewhere("Borealis", START - 3_600_000);
    expect(tab.state.activeProject).toBe("Borealis");
  });

  it("takes changes after one of a device whose clock is fast", async () => {
    const tab = await open();
    changeElsewhere("Borealis", START + 3_600_000);
    expect(tab.state.timestamp).toBe(START);
    await choose(tab, "Apollo");
    expect(onServer()).toBe("Apollo");
    expect(tab.state.activeProject).toBe("Apollo");
    expect(codes()).toEqual([]);
  });

  it("has other addresses", async () => {
    const tab = await open({ server: "https://api.example.org/", scope: ["a b", "ü"] });
    const [socket] = service.sockets;
    expect(socket!.url).toBe("wss://api.example.org/api/state/a%20b/%C3%BC/subscribe");
    expect(tab.result.syncStatus).toBe("online");
  });

  it("is off without the option", async () => {
    const tab = await open({ server: false });
    await choose(tab, "Apollo");
    expect(tab.result.syncStatus).toBe("off");
    expect(service.calls).toEqual([]);
  });

  it("is used by useServerStateSync without the option", async () => {
    const { module } = await Tab.open();
    const { result } = renderHook(() => module.useServerStateSync({ scope: SCOPE }));
    await settle();
    expect(result.current.syncStatus).toBe("online");
  });
});

describe("requests", () => {
  it("are sent one at a time, and only the latest state", async () => {
    const tab = await open();
    service.responses.hold();
    for (const project of ["Apollo", "Borealis", "Cassini"]) await choose(tab, project);
    expect(posted()).toEqual(["Apollo"]);
    service.responses.release();
    await settle();
    expect(posted()).toEqual(["Apollo", "Cassini"]);
    expect(onServer()).toBe("Cassini");
  });

  it("are not disturbed by the echo of a save that arrives before its response", async () => {
    const tab = await open();
    service.responses.hold();
    await choose(tab, "Apollo");
    tab.choose("Cassini");
    await settle();
    service.responses.release();
    await pass(1_000);
    expect(tab.state.activeProject).toBe("Cassini");
    expect(posted()).toEqual(["Apollo", "Cassini"]);
  });

  it("keep a message that arrives meanwhile", async () => {
    const tab = await open();
    service.responses.hold();
    await choose(tab, "Apollo");
    changeElsewhere("Borealis", Date.now() + 1);
    await pass(10);
    service.responses.release();
    await settle();
    expect(tab.state.activeProject).toBe("Borealis");
  });

  it("are repeated while the service is down, with growing pauses", async () => {
    const tab = await open();
    service.isDown = true;
    await choose(tab, "Apollo");
    await pass(120_000);
    const { length } = posted();
    expect(length).toBeGreaterThan(8);
    expect(length).toBeLessThan(14);
    service.isDown = false;
    await pass(30_000);
    expect(onServer()).toBe("Apollo");
    expect(codes()).toEqual([]);
  });

  it.each([408, 429, 500, 503])("are repeated after status %i", async (status) => {
    const tab = await open();
    service.status = status;
    await choose(tab, "Apollo");
    expect(onServer()).toBeNull();
    service.status = null;
    await pass(1_000);
    expect(onServer()).toBe("Apollo");
  });

  it("are repeated when the browser is online again", async () => {
    const tab = await open();
    service.isDown = true;
    await choose(tab, "Apollo");
    await pass(60_000);
    service.isDown = false;
    act(() => void window.dispatchEvent(new Event("online")));
    await settle();
    expect(onServer()).toBe("Apollo");
    expect(service.sockets.size).toBe(1);
  });

  it.each([
    [413, "too_large"],
    [422, "invalid"],
    [400, "invalid"],
    [404, "invalid"],
  ])("are not repeated after status %i", async (status, code) => {
    const tab = await open();
    service.status = status;
    await choose(tab, "Apollo");
    await pass(60_000);
    expect(posted()).toEqual(["Apollo"]);
    expect(codes()).toEqual([code]);
    expect(onError.mock.calls[0]![0].message).toContain(`${status}`);
    service.status = null;
    await choose(tab, "Cassini");
    expect(onServer()).toBe("Cassini");
  });

  it("are not repeated for a state that the service finds too old", async () => {
    const tab = await open();
    service.isDown = true;
    await choose(tab, "Apollo");
    vi.setSystemTime(Date.now() + 90_000_000);
    service.isDown = false;
    await pass(60_000);
    expect(codes()).toEqual(["conflict"]);
    expect(posted().length).toBeLessThan(12);
  });

  it("with keepalive have a body of up to 60 KB", async () => {
    const tab = await open();
    act(() => tab.state.setWidget("text", "x".repeat(59_000)));
    leavePage();
    act(() => tab.state.setWidget("text", "x".repeat(61_000)));
    await returnToPage();
    await pass(1_000);
    expect(service.callsOf("POST").map(({ keepalive }) => keepalive)).toEqual([true, false]);
  });
});

describe("conflicts", () => {
  /** Two devices change the state before they hear of each other. */
  async function collide(mine: number, theirs: number): Promise<Tab> {
    const tab = await open();
    await choose(tab, "Apollo");
    service.messages.hold();
    await pass(5_000);
    changeElsewhere("Borealis", Date.now() + theirs);
    await pass(mine);
    await choose(tab, "Cassini");
    await settle();
    return tab;
  }

  it("are won by the newer state here", async () => {
    const tab = await collide(10, 0);
    expect(service.callsOf("GET")).toHaveLength(1);
    expect(tab.state.activeProject).toBe("Cassini");
    expect(onServer()).toBe("Cassini");
  });

  it("are won by the newer state on the server", async () => {
    const tab = await collide(0, 10);
    expect(tab.state.activeProject).toBe("Borealis");
    expect(onServer()).toBe("Borealis");
    expect(stored(SCOPED())).toMatchObject({ activeProject: "Borealis" });
  });

  it("between tabs that send the same state end with one", async () => {
    service.isDown = true;
    const tab = await open();
    await choose(tab, "Apollo");
    const other = await open();
    service.isDown = false;
    service.responses.hold();
    act(() => void window.dispatchEvent(new Event("online")));
    await settle();
    service.responses.release();
    await pass(60_000);
    expect(onServer()).toBe("Apollo");
    expect(other.state.activeProject).toBe("Apollo");
    expect(codes()).toEqual([]);
  });

  it("are avoided by a late message of an older version", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.messages.hold();
    changeElsewhere("Borealis");
    await pass(10);
    await choose(tab, "Cassini");
    await settle();
    service.messages.release();
    await settle();
    expect(tab.state.activeProject).toBe("Cassini");
  });
});

describe("a state that is not on the server", () => {
  it("is saved there if it never was", async () => {
    store(savedState(), SCOPED());
    await open();
    expect(onServer()).toBe("Apollo");
  });

  it("is cleared here if it was: another device has deleted it", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    act(() => service.remove());
    await settle();
    expect(tab.state.activeProject).toBeNull();
    expect(localStorage).toHaveLength(0);
    expect(service.callsOf("DELETE")).toEqual([]);
  });

  it("is cleared at the next visit, if it was deleted meanwhile", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    tab.unmount();
    service.remove();
    const next = await open();
    expect(next.state.activeProject).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("is saved again if it has changed since", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    tab.choose("Cassini");
    act(() => service.remove());
    await pass(1_000);
    expect(tab.state.activeProject).toBe("Cassini");
    expect(onServer()).toBe("Cassini");
  });

  it("is not cleared if the service does not take it", async () => {
    const tab = await open();
    service.status = 413;
    await choose(tab, "Apollo");
    service.status = null;
    act(() => service.stop());
    service.isDown = false;
    await pass(30_000);
    expect(tab.state.activeProject).toBe("Apollo");
    expect(stored(SCOPED())).not.toBeNull();
  });

  it("is not cleared by a late message, nor by a proxy without the service", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    const [socket] = service.sockets;
    act(() => socket!.onmessage?.({ data: '{"state":null,"version":0}' }));
    await settle();
    expect(tab.state.activeProject).toBe("Apollo");
    vi.stubGlobal("fetch", async () => new Response("Not found", { status: 404 }));
    act(() => socket!.onmessage?.({ data: '{"state":null,"version":0}' }));
    await pass(10_000);
    expect(tab.state.activeProject).toBe("Apollo");
  });

  it("comes back from another device after it was cleared", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    act(() => service.remove());
    await settle();
    changeElsewhere("Borealis", START - 1);
    expect(tab.state.activeProject).toBe("Borealis");
  });
});

describe("clear with a server", () => {
  it("deletes the state there at once, and leaves nothing in the browser", async () => {
    const [tab, other] = [await open(), await open()];
    await choose(tab, "Apollo");
    other.choose("Cassini"); // pending
    service.requests.hold();
    tab.clear();
    expect(service.callsOf("DELETE")[0]).toMatchObject({ headers: {}, keepalive: true });
    service.requests.release();
    await pass(10_000);
    expect([tab.state.activeProject, other.state.activeProject, onServer()]).toEqual([
      null,
      null,
      null,
    ]);
    expect(localStorage).toHaveLength(0);
  });

  it.each(["first", "later"])("wins over its %s save that is on its way", async (which) => {
    const tab = await open();
    if (which === "later") await choose(tab, "Apollo");
    service.requests.hold();
    await choose(tab, "Cassini");
    tab.clear();
    expect(service.callsOf("DELETE")).toHaveLength(1);
    service.requests.release();
    await settle();
    expect(onServer()).toBeNull();
    expect(localStorage).toHaveLength(0);
    expect(tab.state.activeProject).toBeNull();
  });

  it("wins over the first save of another tab that is on its way", async () => {
    const [tab, other] = [await open(), await open()];
    service.requests.hold();
    await choose(other, "Cassini");
    tab.clear();
    service.requests.release();
    await pass(10_000);
    expect([tab.state.activeProject, other.state.activeProject, onServer()]).toEqual([
      null,
      null,
      null,
    ]);
    expect(localStorage).toHaveLength(0);
  });

  it("does not delete what is saved after it", async () => {
    const [tab, other] = [await open(), await open()];
    await choose(tab, "Apollo");
    FakeChannel.gate.hold();
    tab.clear();
    await choose(tab, "Borealis");
    FakeChannel.gate.release();
    await pass(10_000);
    expect(onServer()).toBe("Borealis");
    expect([tab.state.activeProject, other.state.activeProject]).toEqual(["Borealis", "Borealis"]);
  });

  it("is made up for when the service is back", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.isDown = true;
    tab.clear();
    await pass(10_000);
    expect(onServer()).toBe("Apollo");
    service.isDown = false;
    await pass(30_000);
    expect(onServer()).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("is made up for at the next visit", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.isDown = true;
    tab.clear();
    leavePage();
    tab.unmount();
    service.isDown = false;
    const next = await open();
    expect(next.state.activeProject).toBeNull();
    expect(onServer()).toBeNull();
    expect(localStorage).toHaveLength(0);
  });

  it("does not delete at the next visit what another device has saved since", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.isDown = true;
    tab.clear();
    tab.unmount();
    await pass(10_000);
    service.isDown = false;
    changeElsewhere("Borealis");
    const next = await open();
    expect(next.state.activeProject).toBe("Borealis");
    expect(onServer()).toBe("Borealis");
  });

  it("gives way to a change at the next visit", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    service.isDown = true;
    tab.clear();
    await choose(tab, "Cassini");
    tab.unmount();
    service.isDown = false;
    const next = await open();
    expect(onServer()).toBe("Cassini");
    expect(next.state.activeProject).toBe("Cassini");
  });

  it("works after the component is gone", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    tab.unmount();
    act(() => tab.module.clearPersistedState(SCOPED()));
    await settle();
    expect(onServer()).toBeNull();
    expect(localStorage).toHaveLength(0);
  });
});

describe("the connection", () => {
  it("reports that it is lost, and comes back", async () => {
    const tab = await open();
    await choose(tab, "Apollo");
    act(() => service.stop());
    expect(tab.result.syncStatus).toBe("offline");
    await choose(tab, "Cassini");
    await pass(60_000);
    expect(tab.result.syncStatus).toBe("offline");
    expect(stored(SCOPED())).toMatchObject({ activeProject: "Cassini" });
    service.isDown = false;
    await pass(30_000);
    expect(tab.result.syncStatus).toBe("online");
    expect(onServer()).toBe("Cassini");
  });

  it.each([401, 403])("is not tried again after status %i", async (status) => {
    service.status = status;
    const tab = await open();
    expect(tab.result.syncStatus).toBe("refused");
    const { length } = service.calls;
    await choose(tab, "Apollo");
    await pass(120_000);
    expect(service.calls).toHaveLength(length);
    expect(codes()).toEqual(["refused"]);
    expect(stored(SCOPED())).toMatchObject({ activeProject: "Apollo" });
  });

  it.each([4401, 4403])("is not tried again after close code %i", async (code) => {
    const tab = await open();
    const [socket] = service.sockets;
    act(() => socket!.lose(code));
    await pass(60_000);
    expect(tab.result.syncStatus).toBe("refused");
    expect(service.sockets.size).toBe(0);
    expect(codes()).toEqual(["refused"]);
  });

  it("ends when a save is refused", async () => {
    const tab = await open();
    service.status = 403;
    await choose(tab, "Apollo");
    expect(tab.result.syncStatus).toBe("refused");
    expect(service.sockets.size).toBe(0);
  });

  it("is not needed to load and save, where a proxy does not pass sockets", async () => {
    service.save(savedState({ activeProject: "Borealis" }));
    vi.stubGlobal(
      "WebSocket",
      class {
        onclose: ((event: { code: number }) => void) | null = null;
        constructor() {
          queueMicrotask(() => this.onclose?.({ code: 1006 }));
        }
        close(): void {}
      },
    );
    const tab = await open();
    expect(tab.state.activeProject).toBe("Borealis");
    expect(tab.result.syncStatus).toBe("offline");
    await choose(tab, "Apollo");
    expect(onServer()).toBe("Apollo");
  });

  it("ignores what is not a message", async () => {
    const tab = await open();
    const [socket] = service.sockets;
    for (const data of ["{", "7", "{}", new Blob(), '{"state":null}'])
      act(() => socket!.onmessage?.({ data }));
    await settle();
    expect(tab.result.syncStatus).toBe("online");
  });

  it("ignores an old socket after it has been replaced", async () => {
    const tab = await open();
    const [old] = service.sockets as Set<FakeSocket>;
    act(() => void window.dispatchEvent(new Event("online")));
    await settle();
    act(() => {
      old!.onmessage?.({ data: JSON.stringify({ state: savedState(), version: 9 }) });
      old!.onclose?.({ code: 1006 });
    });
    expect(tab.state.activeProject).toBeNull();
    expect(tab.result.syncStatus).toBe("online");
  });

  it("is closed while the page is in the back/forward cache", async () => {
    const tab = await open();
    leavePage();
    expect(service.sockets.size).toBe(0);
    changeElsewhere("Borealis");
    await returnToPage();
    expect(tab.state.activeProject).toBe("Borealis");
    expect(service.sockets.size).toBe(1);
  });
});

describe("leaving the page", () => {
  it.each([
    ["left", leavePage],
    ["hidden", hidePage],
  ])("sends what is pending when it is %s", async (_, leave) => {
    const tab = await open();
    await choose(tab, "Apollo");
    tab.choose("Cassini");
    leave();
    expect(service.callsOf("POST").at(-1)).toMatchObject({ keepalive: true });
    await settle();
    expect(onServer()).toBe("Cassini");
  });

  it("sends the latest also if a request is on its way, or nothing was heard yet", async () => {
    const tab = await open();
    service.requests.hold();
    await choose(tab, "Apollo");
    tab.choose("Cassini");
    leavePage();
    service.requests.release();
    await settle();
    expect(onServer()).toBe("Cassini");

    tab.unmount();
    storageOfAnotherDevice();
    service.messages.hold();
    const other = await open();
    other.choose("Borealis");
    leavePage();
    await settle();
    expect(service.callsOf("POST").at(-1)!.headers).not.toHaveProperty("If-Match");
    expect(onServer()).toBe("Borealis");
  });

  it("is caught up with at the next visit if the request is lost", async () => {
    const tab = await open();
    service.isDown = true;
    tab.choose("Cassini");
    leavePage();
    tab.unmount();
    service.isDown = false;
    await open();
    expect(onServer()).toBe("Cassini");
  });

  it("saves on the server when the last component goes", async () => {
    const tab = await open();
    tab.choose("Cassini");
    tab.unmount();
    await settle();
    expect(onServer()).toBe("Cassini");
    expect(service.sockets.size).toBe(0);
    const { length } = service.calls;
    await open();
    await pass(60_000);
    expect(service.calls).toHaveLength(length);
  });
});

describe("a state on the server that this page cannot read", () => {
  it("of a newer version is not replaced", async () => {
    service.save(savedState({ version: 2 }));
    const tab = await open();
    await choose(tab, "Apollo");
    expect(posted()).toEqual([]);
    expect(codes()).toEqual(["conflict"]);
    expect(tab.result.syncStatus).toBe("refused");
  });

  it("that is not valid is replaced by the next save", async () => {
    service.save({ unexpected: true });
    const tab = await open();
    expect(codes()).toEqual(["invalid"]);
    await choose(tab, "Apollo");
    expect(onServer()).toBe("Apollo");
  });

  it("of an older version is migrated", async () => {
    service.save(savedState({ version: 0, activeProject: 7 }));
    const tab = await open({
      migrate: (old) => ({ ...old, activeProject: String(old["activeProject"]) }),
    });
    expect(tab.state.activeProject).toBe("7");
  });
});
