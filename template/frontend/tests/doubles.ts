/** Doubles of other tabs and of the service, which hold messages back where a test races. */
import { act, cleanup, renderHook, type RenderHookResult } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, vi } from "vitest";

import type { UseStatePersistenceOptions, UseStatePersistenceResult } from "../src/lib/state";

export const START = Date.parse("2026-03-01T12:00:00Z");
export const SCOPE = ["acme", "ada"] as const;
export const URL_PATH = "/api/state/acme/ada";

/** Deliveries that a test can hold back. */
export class Gate {
  #held: (() => void)[] | null = null;

  pass(deliver: () => void): void {
    if (this.#held) this.#held.push(deliver);
    else deliver();
  }

  hold(): void {
    this.#held ??= [];
  }

  get count(): number {
    return this.#held?.length ?? 0;
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const deliver of held) deliver();
  }
}

export class FakeChannel {
  static open = new Set<FakeChannel>();
  static gate = new Gate();
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(readonly name: string) {
    FakeChannel.open.add(this);
  }

  postMessage(data: unknown): void {
    const copy: unknown = structuredClone(data);
    for (const other of FakeChannel.open) {
      if (other !== this && other.name === this.name) {
        FakeChannel.gate.pass(
          () => FakeChannel.open.has(other) && other.onmessage?.({ data: copy }),
        );
      }
    }
  }

  close(): void {
    FakeChannel.open.delete(this);
  }
}

interface Stored {
  state: Record<string, unknown>;
  version: number;
}

export interface Call {
  method: string;
  headers: Record<string, string>;
  body: Record<string, unknown> | null;
  keepalive: boolean;
}

/** The service, as `state_api.py` answers. */
export class FakeService {
  stored: Stored | null = null;
  calls: Call[] = [];
  isDown = false;
  /** The status of every answer, such as 403. */
  status: number | null = null;
  requests = new Gate();
  responses = new Gate();
  messages = new Gate();
  sockets = new Set<FakeSocket>();
  #version = 0;

  save(state: Record<string, unknown>): void {
    this.#version += 1;
    // Without `transient=`, a service resets these fields to empty values of their types.
    this.stored = { state: { ...state, loading: {}, errors: {} }, version: this.#version };
    this.publish();
  }

  remove(): void {
    this.stored = null;
    this.publish();
  }

  publish(): void {
    for (const socket of this.sockets) this.send(socket);
  }

  send(socket: FakeSocket): void {
    const data = JSON.stringify(this.stored ?? { state: null, version: 0 });
    this.messages.pass(() => socket.onmessage?.({ data }));
  }

  stop(): void {
    this.isDown = true;
    for (const socket of this.sockets) socket.lose(1012);
  }

  readonly fetch = (_url: string, init: RequestInit): Promise<Response> => {
    const body = typeof init.body === "string" ? JSON.parse(init.body) : null;
    const headers = init.headers as Record<string, string>;
    const call = { method: init.method!, headers, body, keepalive: init.keepalive ?? false };
    this.calls.push(call);
    return new Promise((resolve, reject) => {
      this.requests.pass(() => {
        const answer = this.isDown ? null : this.#answer(call);
        this.responses.pass(() =>
          answer ? resolve(answer) : reject(new TypeError("Failed to fetch")),
        );
      });
    });
  };

  callsOf(method: string): Call[] {
    return this.calls.filter((call) => call.method === method);
  }

  #answer({ method, headers, body }: Call): Response {
    if (this.status) return problem(this.status);
    const version = this.stored?.version ?? 0;
    const match = headers["If-Match"];
    if ((match && match !== `"${version}"`) || (headers["If-None-Match"] && version))
      return problem(412);
    if (method === "POST") {
      if (Number(this.stored?.state["timestamp"]) > Number(body!["timestamp"])) return problem(409);
      if (Number(body!["timestamp"]) < Date.now() - 86_400_000) return problem(409);
      this.save(body!);
      return new Response(null, { status: 204, headers: { ETag: `"${this.#version}"` } });
    }
    if (!this.stored) return problem(404);
    const { state } = this.stored;
    if (method === "GET") return Response.json(state, { headers: { ETag: `W/"${version}"` } });
    this.remove();
    return new Response(null, { status: 204 });
  }
}

export function problem(status: number): Response {
  const headers = { "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify({ detail: `Problem ${status}.` }), { status, headers });
}

export class FakeSocket {
  static service: FakeService;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(readonly url: string) {
    const { service } = FakeSocket;
    queueMicrotask(() => {
      if (service.isDown || service.status) return this.lose(1006);
      service.sockets.add(this);
      service.send(this);
    });
  }

  close(): void {
    FakeSocket.service.sockets.delete(this);
  }

  lose(code: number): void {
    this.close();
    this.onclose?.({ code });
  }
}

export type StateModule = typeof import("../src/lib/state");

/** A tab of its own: its modules share with others only the storage and the channels. */
export class Tab {
  hook: RenderHookResult<UseStatePersistenceResult, UseStatePersistenceOptions> | null = null;

  constructor(readonly module: StateModule) {}

  static async open(options?: UseStatePersistenceOptions): Promise<Tab> {
    vi.resetModules();
    const tab = new Tab(await import("../src/lib/state"));
    if (options) await tab.mount(options);
    return tab;
  }

  async mount(options: UseStatePersistenceOptions = {}): Promise<void> {
    const { useStatePersistence } = this.module;
    this.hook = renderHook(useStatePersistence, { initialProps: options, wrapper: StrictMode });
    await settle();
  }

  unmount(): void {
    this.hook?.unmount();
  }

  get result(): UseStatePersistenceResult {
    return this.hook!.result.current;
  }

  get state() {
    return this.module.useDashboardState.getState();
  }

  choose(project: string | null): void {
    act(() => this.state.setActiveProject(project));
  }

  clear(): void {
    act(() => this.result.clearPersistedState());
  }
}

/** Let time pass, with the promises that settle in it. */
export async function pass(milliseconds: number): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(milliseconds));
}

export async function settle(): Promise<void> {
  await pass(0);
}

export function stored(key = KEY): Record<string, unknown> | null {
  const text = localStorage.getItem(key);
  return text === null ? null : JSON.parse(text);
}

export let KEY = "";
export let service: FakeService;

/** A valid state, as an earlier visit has saved it. */
export function savedState(part: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    version: 1,
    timestamp: START - 1_000,
    activeProject: "Apollo",
    widgets: {},
    loading: { isLoading: false, loadingAgents: [] },
    errors: {},
    ...part,
  };
}

export function store(value: unknown, key = KEY): void {
  localStorage.setItem(key, typeof value === "string" ? value : JSON.stringify(value));
}

export function leavePage(): void {
  act(() => void window.dispatchEvent(new Event("pagehide")));
}

export async function returnToPage(): Promise<void> {
  act(() => void window.dispatchEvent(new Event("pageshow")));
  await settle();
}

export function hidePage(): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  act(() => void document.dispatchEvent(new Event("visibilitychange")));
}

/** Give every test an empty browser at the same time of day. */
export function useEmptyBrowser(): void {
  beforeEach(async () => {
    vi.useFakeTimers({ now: START });
    vi.spyOn(Math, "random").mockReturnValue(1);
    localStorage.clear();
    FakeChannel.open.clear();
    FakeChannel.gate.release();
    service = new FakeService();
    FakeSocket.service = service;
    vi.stubGlobal("BroadcastChannel", FakeChannel);
    vi.stubGlobal("WebSocket", FakeSocket);
    vi.stubGlobal("fetch", service.fetch);
    KEY = (await import("../src/lib/state/storage-keys")).STORAGE_KEY;
  });

  afterEach(() => {
    cleanup();
    vi.useRealTimers();
  });
}
