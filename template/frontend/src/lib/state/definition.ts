/** A state that can be kept, and the way in for every state that comes from outside. */
import type { z } from "zod";

export interface Stamped {
  version: number;
  /** Milliseconds since the epoch of the last change. */
  timestamp: number;
}

/** The part of a zustand store that keeping its state needs. */
export interface Store<S> {
  getState(): S;
  setState(part: Partial<S>): void;
  subscribe(listener: (state: S, previous: S) => void): () => void;
}

export interface StateDefinition<S extends Stamped> {
  readonly store: Store<S>;
  readonly schema: z.ZodType<S>;
  /** The state at the start and after a clear; its `version` is the current one. */
  readonly empty: S;
  /** Fields that are neither saved nor taken from elsewhere. */
  readonly transient: readonly (keyof S)[];
}

export type Migrate = (stored: Record<string, unknown>, from: number) => unknown;

export type Reading<S> =
  | { kind: "state"; state: S }
  | { kind: "from_newer_version" }
  | { kind: "invalid"; cause: unknown };

/** Return a time after the previous one, also if the clock was put back. */
export function nextTimestamp(previous: number): number {
  return Math.max(Date.now(), previous + 1);
}

/** Return the timestamp of an unvalidated state, or 0. */
export function timestampOf(value: unknown): number {
  return isRecord(value) && typeof value["timestamp"] === "number" ? value["timestamp"] : 0;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return the parsed text, or undefined. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function keptFields<S extends Stamped>({
  empty,
  transient,
}: StateDefinition<S>): (keyof S)[] {
  return (Object.keys(empty) as (keyof S)[]).filter((name) => !transient.includes(name));
}

export function pick<S>(state: S, names: readonly (keyof S)[]): Partial<S> {
  const picked: Partial<S> = {};
  for (const name of names) picked[name] = state[name];
  return picked;
}

/**
 * Migrate and validate a state from outside: storage, another tab or the server.
 *
 * Its transient fields are replaced before it is validated, because the service resets them to
 * a shape of its own. A timestamp in the future counts as now: it must not win for ever.
 */
export function readState<S extends Stamped>(
  definition: StateDefinition<S>,
  value: unknown,
  migrate?: Migrate,
): Reading<S> {
  const { schema, empty, transient } = definition;
  if (!isRecord(value) || typeof value["version"] !== "number") {
    return { kind: "invalid", cause: new TypeError("Expected an object with a version.") };
  }
  const { version } = value;
  if (version > empty.version) return { kind: "from_newer_version" };
  try {
    const migrated = version < empty.version && migrate ? migrate(value, version) : value;
    if (!isRecord(migrated)) throw new TypeError("Expected an object from the migration.");
    const timestamp = Math.min(timestampOf(migrated), Date.now());
    const completed = { ...migrated, ...pick(empty, transient), version: empty.version, timestamp };
    return { kind: "state", state: schema.parse(completed) };
  } catch (cause) {
    return { kind: "invalid", cause };
  }
}
