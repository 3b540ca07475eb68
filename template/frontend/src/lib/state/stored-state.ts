/** The copy of a state in localStorage, which all tabs of a browser share. */
import { isRecord, parseJson, type Reading, type Stamped, timestampOf } from "./definition";
import { readItem, removeItem, tryWriteItem, writeItem } from "./local-storage";

/** A field of a stored state that no schema has: when the state began. */
const EPOCH = "$epoch";

/** A copy of the state, as this tab sees it. */
export type Copy<S> =
  | { kind: "none" }
  /** Stored as this tab has last read or written it. */
  | { kind: "known" }
  /** This tab knows a state that another tab has removed since. */
  | { kind: "removed" }
  | { kind: "expired" }
  /** From before a clear of which the tab that stored it has not heard. */
  | { kind: "void"; clearedAt: number }
  | { kind: "invalid"; cause: unknown }
  | { kind: "from_newer_version" }
  | CurrentCopy<S>;

export interface CurrentCopy<S> {
  kind: "current";
  state: S;
  /** The timestamp as it is stored, which may be in the future. */
  timestamp: number;
  epoch: number;
  /** Whether it was stored after a clear of which this tab has not heard. */
  hasMissedClear: boolean;
}

/**
 * Reads and writes the copy, and decides which copies count.
 *
 * A state begins when a tab finds the storage empty, and again with each clear. A clear makes all
 * states void that began before it, even if a tab that has not heard of it changes one later.
 */
export class StoredState<S extends Stamped> {
  /** The stored timestamp when this tab last read or wrote it; null without a state. */
  #known: number | null = null;
  #epoch = 0;
  #clearedAt = 0;

  constructor(
    readonly key: string,
    readonly read: (value: unknown) => Reading<S>,
    readonly isExpired: (timestamp: number) => boolean,
  ) {}

  get isKnown(): boolean {
    return this.#known !== null;
  }

  look(): Copy<S> {
    const text = readItem(this.key);
    if (text === null) {
      const wasRemoved = this.#known !== null && !this.isExpired(this.#known);
      return { kind: wasRemoved ? "removed" : "none" };
    }
    const value = parseJson(text);
    const timestamp = timestampOf(value);
    const isKnown = timestamp === this.#known && !this.isExpired(timestamp);
    return isKnown ? { kind: "known" } : this.examine(value);
  }

  /** Examine a copy from the storage, or from a message of another tab. */
  examine(value: unknown): Copy<S> {
    const reading = this.read(value);
    if (reading.kind !== "state") return reading;
    const { state } = reading;
    const epoch = epochOf(value);
    if (epoch < this.#clearedAt) return { kind: "void", clearedAt: this.#clearedAt };
    if (this.isExpired(state.timestamp)) return { kind: "expired" };
    const hasMissedClear = this.isKnown && epoch > this.#epoch;
    return { kind: "current", state, timestamp: timestampOf(value), epoch, hasMissedClear };
  }

  /** Note that this tab has taken a copy over. */
  follow({ timestamp, epoch }: CurrentCopy<S>): void {
    this.#known = timestamp;
    this.#epoch = epoch;
  }

  /** Return a state in the form in which it is stored and sent to other tabs. */
  toCopy(state: S): object {
    return { ...state, [EPOCH]: this.#epoch };
  }

  /**
   * Store a state, and return whether there is a storage.
   *
   * @throws DOMException If the quota is used up. The previous copy remains.
   */
  write(state: S): boolean {
    if (!writeItem(this.key, JSON.stringify(this.toCopy(state)))) return false;
    tryWriteItem(versionKeyOf(this.key), String(state.version));
    this.#known = state.timestamp;
    return true;
  }

  remove(): void {
    this.forget();
    removeItem(this.key);
    removeItem(versionKeyOf(this.key));
  }

  /** Remove the copy, unless another tab has stored a later one. */
  removeKnown(): void {
    if (this.look().kind === "known") this.remove();
    this.forget();
  }

  /** Forget the copy: a state that begins now does not depend on it. */
  forget(): void {
    this.#known = null;
  }

  begin(epoch: number): void {
    this.#epoch = epoch;
  }

  /** Note a clear, and return whether it makes the state of this tab void. */
  noteClear(at: number): boolean {
    if (at <= this.#clearedAt) return false;
    this.#clearedAt = at;
    return this.#epoch < at;
  }
}

export function versionKeyOf(key: string): string {
  return `${key}-version`;
}

function epochOf(value: unknown): number {
  return isRecord(value) && typeof value[EPOCH] === "number" ? value[EPOCH] : 0;
}
