/** Random histories of three tabs, a service and another device, after which all must agree. */
import { act } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import {
  FakeChannel,
  KEY,
  leavePage,
  pass,
  returnToPage,
  savedState,
  SCOPE,
  service,
  stored,
  Tab,
  useEmptyBrowser,
} from "./doubles";

useEmptyBrowser();

const SEEDS = Array.from({ length: 25 }, (_, index) => index + 1);
const STEPS = 60;

/** Return a generator of numbers from 0 to 1 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class World {
  readonly log: string[] = [];
  readonly #mounted = new Set<Tab>();
  readonly #options = { scope: SCOPE, onError: (error: Error) => this.log.push(error.message) };
  #tabs: Tab[] = [];
  #isAway = false;
  #count = 0;

  constructor(
    readonly random: () => number,
    readonly server: boolean,
  ) {}

  async open(): Promise<void> {
    for (let index = 0; index < 3; index += 1) this.#tabs.push(await this.#openTab());
  }

  async step(): Promise<void> {
    const [name, run] = this.#pick([
      ...this.#tabActions(),
      ...(this.server ? this.#serverActions() : []),
    ]);
    this.log.push(name);
    await pass(5);
    await act(async () => void (await run()));
    await pass(0);
  }

  /** Let everything arrive, and return the state of each place then. */
  async settle(): Promise<unknown[]> {
    await this.#return();
    service.isDown = false;
    this.#gates().forEach((gate) => act(() => gate.release()));
    for (const tab of this.#tabs) await this.#mount(tab);
    await pass(200_000);
    const states = [stored(`${KEY}:acme:ada`), ...(this.server ? [service.stored?.state] : [])];
    return [
      ...this.#tabs.map((tab) => tab.state.activeProject),
      ...states.map((state) => state?.["activeProject"] ?? null),
    ];
  }

  #tabActions(): [string, () => unknown][] {
    const tab = this.#pick(this.#tabs);
    const canUse = this.#mounted.has(tab) && !this.#isAway;
    const change: [string, () => unknown] = [
      "change",
      () => canUse && tab.choose(`change ${++this.#count}`),
    ];
    const wait: [string, () => unknown] = [
      "wait",
      () => this.#wait(this.#pick([1, 10, 300, 1_000, 6_000])),
    ];
    return [
      change,
      change,
      change,
      wait,
      wait,
      wait,
      ["clear", () => canUse && tab.clear()],
      ["hold tabs", () => FakeChannel.gate.hold()],
      ["leave", () => this.#leave()],
      ["return", () => this.#return()],
      ["unmount", () => this.#mounted.delete(tab) && tab.unmount()],
      ["mount", () => this.#isAway || this.#mount(tab)],
      ["reload", () => this.#isAway || this.#reload(tab)],
    ];
  }

  #serverActions(): [string, () => unknown][] {
    const gate = this.#pick(this.#gates());
    return [
      ["hold", () => gate.hold()],
      ["release", () => act(() => gate.release())],
      ["down", () => act(() => service.stop())],
      ["up", () => (service.isDown = false)],
      ["change elsewhere", () => act(() => this.#changeElsewhere())],
      ["delete elsewhere", () => act(() => service.remove())],
    ];
  }

  #gates() {
    return [FakeChannel.gate, service.requests, service.responses, service.messages];
  }

  /** Tabs of one browser hear of each other within a second. */
  async #wait(milliseconds: number): Promise<void> {
    if (milliseconds >= 1_000) act(() => FakeChannel.gate.release());
    await pass(milliseconds);
  }

  #changeElsewhere(): void {
    const timestamp = Math.max(Date.now(), Number(service.stored?.state["timestamp"] ?? 0));
    service.save(savedState({ timestamp, activeProject: `elsewhere ${++this.#count}` }));
  }

  #leave(): void {
    leavePage();
    this.#isAway = true;
  }

  async #return(): Promise<void> {
    if (this.#isAway) await returnToPage();
    this.#isAway = false;
  }

  async #mount(tab: Tab): Promise<void> {
    if (this.#mounted.has(tab)) return;
    this.#mounted.add(tab);
    await tab.mount({ ...this.#options, server: this.server });
  }

  async #reload(tab: Tab): Promise<void> {
    if (this.#mounted.delete(tab)) tab.unmount();
    this.#tabs[this.#tabs.indexOf(tab)] = await this.#openTab();
  }

  async #openTab(): Promise<Tab> {
    const tab = await Tab.open();
    await this.#mount(tab);
    return tab;
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)]!;
  }
}

describe.each([false, true])("with server: %s", (server) => {
  it.each(SEEDS)("all places agree after the history with seed %i", async (seed) => {
    const world = new World(randomOf(seed), server);
    await world.open();
    for (let step = 0; step < STEPS; step += 1) await world.step();
    const projects = await world.settle();
    expect(new Set(projects), world.log.join("\n")).toEqual(new Set([projects[0]]));
    if (projects[0] === null) expect(Object.keys(localStorage)).toEqual([]);
    const { length } = service.calls;
    await pass(200_000);
    expect(service.calls).toHaveLength(length);
  });
});
