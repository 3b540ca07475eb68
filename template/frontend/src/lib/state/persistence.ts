/** Keeps one state in localStorage, in step with the other tabs and with the server. */
import {
  isRecord,
  keptFields,
  type Migrate,
  nextTimestamp,
  parseJson,
  pick,
  type Reading,
  readState,
  type Stamped,
  type StateDefinition,
  timestampOf,
} from "./definition";
import { PersistenceError, type PersistenceErrorCode } from "./errors";
import { readItem, removeItem, tryWriteItem, writeItem } from "./local-storage";
import { noteKeyOf, type Replica, ServerSync, type SyncStatus } from "./server-sync";
import { type ItemChange, postOnce, TabChannel, type TabListener, type TabMessage } from "./tab-channel";

export const PERSISTENCE_DEBOUNCE_MS = 1_000;
export const PERSISTENCE_MAX_WAIT_MS = 5_000;
export const STATE_TTL_MS = 86_400_000;
export const MAX_STATE_SIZE_BYTES = 1_048_576;

export interface PersistenceConfig {
  debounceMs: number;
  /** The longest time that steady changes postpone a save. */
  maxWaitMs: number;
  ttlMs: number;
  enableCrossTabSync: boolean;
  /** The address of the state on the server. */
  url: string | null;
  debug: boolean;
}

/** A component that uses a persistence. */
export interface PersistenceUser {
  onChange(): void;
  onError(error: PersistenceError): void;
  migrate: Migrate | undefined;
}

export interface PersistenceSnapshot {
  readonly isInitialized: boolean;
  readonly syncStatus: SyncStatus;
  /** Milliseconds since the epoch. */
  readonly lastSavedAt: number | null;
}

export const NOT_INITIALIZED: PersistenceSnapshot = {
  isInitialized: false,
  syncStatus: "off",
  lastSavedAt: null,
};

/** A field of a stored state, and of a message to other tabs, that no schema has. */
const EPOCH = "$epoch";

type StoredState<S> = S & { [EPOCH]: number };

interface Owner {
  readonly key: string;
  readonly snapshot: PersistenceSnapshot;
}

/** The last persistence that used each store: a store holds the state of one key only. */
const owners = new WeakMap<object, Owner>();

export class Persistence<S extends Stamped> implements Replica<S>, TabListener {
  readonly #users = new Set<PersistenceUser>();
  readonly #tabs: TabChannel;
  #config: PersistenceConfig | null = null;
  #sync: ServerSync<S> | null = null;
  #snapshot = NOT_INITIALIZED;
  #unsubscribe: (() => void) | null = null;
  #isApplying = false;
  #isSuspended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #firstChange: number | null = null;
  #saved: S | null = null;
  /** The timestamp of the store when its state was last saved, taken over or cleared. */
  #settled = 0;
  /** The timestamp in the storage when this tab last read or wrote it; null without a state. */
  #known: number | null = null;
  /** When the state began: at the last clear, or when a tab found the storage empty. */
  #epoch = 0;
  /** The last clear of which this tab knows. States of an earlier epoch are void. */
  #clearedAt = 0;
  #lastError: PersistenceErrorCode | null = null;

  constructor(
    readonly definition: StateDefinition<S>,
    readonly key: string,
  ) {
    this.#tabs = new TabChannel(key, this);
  }

  get snapshot(): PersistenceSnapshot {
    return this.#snapshot;
  }

  /** Use the persistence until the returned function is called; the first user configures it. */
  acquire(user: PersistenceUser, config: PersistenceConfig): () => void {
    if (this.#users.size === 0) this.#claimStore();
    this.#users.add(user);
    if (this.#users.size === 1) this.#start(config);
    return () => {
      if (this.#users.size === 1) this.#stop();
      this.#users.delete(user);
    };
  }

  /** Save what is not saved yet; without a stored state, save in any case. */
  forceSave(): void {
    if (this.isDirty() || this.#known === null) this.#save();
  }

  /** Remove the state from this tab, the storage, the other tabs and the server. */
  clear(): void {
    const at = nextTimestamp(this.timestamp());
    this.#removeStored();
    this.#clearedAt = at;
    this.#empty(at, at);
    if (this.#config?.enableCrossTabSync) this.#tabs.post({ key: this.key, kind: "cleared", at });
    if (this.#sync) this.#sync.delete({ at, version: "any" });
    else removeItem(noteKeyOf(this.key));
  }

  // What the synchronization with the server needs

  saved(): S | null {
    return this.#saved;
  }

  timestamp(): number {
    return this.#isOwner() ? this.definition.store.getState().timestamp : this.#settled;
  }

  isDirty(): boolean {
    return this.timestamp() !== this.#settled;
  }

  read(value: unknown): Reading<S> {
    const [user] = this.#users;
    return readState(this.definition, value, user?.migrate);
  }

  takeOver(state: S): void {
    this.#apply(state);
    // If another tab has removed the previous state, that does not concern this one.
    if (readItem(this.key) === null) this.#known = null;
    if (this.#isNewest()) this.#write(state, JSON.stringify(this.#toStored(state)));
  }

  clearHere(at = this.timestamp() + 1): void {
    // A state that this tab does not know was stored after the clear.
    if (timestampOf(parseJson(readItem(this.key) ?? "")) === this.#known) this.#removeStored();
    this.#empty(at, Date.now());
    this.#isNewest();
  }

  onStatus(syncStatus: SyncStatus): void {
    this.#log("server", syncStatus);
    this.#update({ syncStatus });
  }

  onError(error: PersistenceError): void {
    this.#log(error.code, error.message);
    for (const user of this.#users) user.onError(error);
  }

  // What the other tabs tell

  onMessage(message: TabMessage): void {
    if (message.kind === "saved") this.#consider(message.state);
    else this.#hearClear(message.at);
  }

  onItemChange({ before, after }: ItemChange): void {
    if (after !== null) this.#consider(parseJson(after));
    // A tab that is opened removes an expired or corrupt state, which is not a clear.
    else if (before === null || this.#wasCurrent(parseJson(before))) this.#hearClear(Date.now());
  }

  #consider(value: unknown): void {
    const reading = this.read(value);
    if (!this.#isCurrent(reading, value) || reading.state.timestamp <= this.timestamp()) return;
    this.#adopt(reading.state, value);
  }

  #hearClear(at: number): void {
    if (at <= this.#clearedAt) return;
    this.#clearedAt = at;
    if (this.#epoch >= at) return; // this tab has begun anew since
    this.#empty(at, at);
    if (this.#isNewest()) this.#sync?.delete({ at, version: "known" });
  }

  #start(config: PersistenceConfig): void {
    this.#config = config;
    if (this.#sync?.url !== config.url) {
      this.#sync = config.url === null ? null : new ServerSync(config.url, this.key, this);
    }
    this.#isNewest();
    this.#unsubscribe = this.definition.store.subscribe(this.#onStoreChange);
    document.addEventListener("visibilitychange", this.#onVisibilityChange);
    window.addEventListener("pagehide", this.#suspend);
    window.addEventListener("pageshow", this.#resume);
    this.#connect();
    this.#update({ isInitialized: true });
    if (this.isDirty()) this.#schedule();
  }

  #stop(): void {
    this.#leave();
    this.#unsubscribe?.();
    document.removeEventListener("visibilitychange", this.#onVisibilityChange);
    window.removeEventListener("pagehide", this.#suspend);
    window.removeEventListener("pageshow", this.#resume);
    this.#disconnect();
    clearTimeout(this.#timer);
    this.#snapshot = { ...this.#snapshot, isInitialized: false, syncStatus: "off" };
  }

  /** Empty a store that holds the state of another key: two users must never meet. */
  #claimStore(): void {
    const { store, empty } = this.definition;
    const owner = owners.get(store);
    owners.set(store, this);
    if (!owner || owner === this) return;
    if (owner.snapshot.isInitialized) {
      owners.set(store, owner);
      const advice = "Use the same storageKey and scope in all components.";
      throw new TypeError(`The store holds the state of '${owner.key}', not '${this.key}'. ${advice}`);
    }
    this.#known = null;
    this.#saved = null;
    this.#change({ ...empty });
  }

  #isOwner(): boolean {
    return owners.get(this.definition.store) === this;
  }

  #connect(): void {
    // A clear may have been missed. With nothing here or in the storage, the state begins now.
    if (!this.#saved && !this.isDirty()) this.#epoch = Date.now();
    if (this.#config?.enableCrossTabSync) this.#tabs.open();
    this.#sync?.start();
  }

  #disconnect(): void {
    this.#tabs.close();
    this.#sync?.stop();
  }

  #leave(): void {
    if (this.isDirty()) this.#save();
    this.#sync?.leave();
  }

  readonly #onVisibilityChange = (): void => {
    if (document.visibilityState === "hidden") this.#leave();
  };

  // An open channel or socket keeps a page out of the back/forward cache.
  readonly #suspend = (): void => {
    this.#leave();
    this.#disconnect();
    this.#isSuspended = true;
  };

  readonly #resume = (): void => {
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#isNewest();
    this.#connect();
  };

  readonly #onStoreChange = (state: S, previous: S): void => {
    const { definition } = this;
    if (this.#isApplying || keptFields(definition).every((name) => state[name] === previous[name])) return;
    // Every change has a later timestamp, also that of a setter that forgets it.
    if (state.timestamp <= previous.timestamp) this.#stamp(previous.timestamp);
    this.#schedule();
  };

  #stamp(previous: number): void {
    this.#set({ timestamp: nextTimestamp(previous) } as Partial<S>);
  }

  #schedule(): void {
    const { debounceMs, maxWaitMs } = this.#config!;
    const now = performance.now();
    this.#firstChange ??= now;
    clearTimeout(this.#timer);
    const delay = Math.min(debounceMs, this.#firstChange + maxWaitMs - now);
    this.#timer = setTimeout(() => this.#save(), Math.max(delay, 0));
  }

  #cancelSave(): void {
    clearTimeout(this.#timer);
    this.#firstChange = null;
  }

  #save(): void {
    this.#cancelSave();
    const state = this.#isNewest() ? this.#validState() : null;
    if (!state) return;
    const stored = this.#toStored(state);
    const text = JSON.stringify(stored);
    const size = new Blob([text]).size;
    if (size > MAX_STATE_SIZE_BYTES) {
      this.#report("too_large", `The state has ${size} bytes; the limit is ${MAX_STATE_SIZE_BYTES} bytes.`);
      return;
    }
    this.#saved = state;
    this.#settled = this.timestamp();
    this.#write(state, text);
    if (this.#config?.enableCrossTabSync) this.#tabs.post({ key: this.key, kind: "saved", state: stored });
    this.#sync?.push();
  }

  #validState(): S | null {
    const { store, empty, schema, transient } = this.definition;
    if (this.timestamp() === 0) this.#stamp(0);
    const fields = pick(store.getState(), keptFields(this.definition));
    const result = schema.safeParse({ ...fields, ...pick(empty, transient) });
    if (result.success) return result.data;
    this.#report("invalid", `The state is not valid and cannot be saved: ${result.error.message}`, result.error);
    return null;
  }

  /** Follow the storage if another tab was there later; return whether the state here is newer. */
  #isNewest(): boolean {
    const text = readItem(this.key);
    if (text === null) {
      const wasRemoved = this.#known !== null && !this.#isExpired(this.#known);
      if (wasRemoved) this.#empty(this.timestamp() + 1, Date.now());
      return !wasRemoved;
    }
    const value = parseJson(text);
    const timestamp = timestampOf(value);
    if (timestamp === this.#known && !this.#isExpired(timestamp)) return true;
    const reading = this.read(value);
    if (reading.kind === "from_newer_version") {
      this.#report("conflict", "A newer version of this page has stored the state: reload the page.");
      return false;
    }
    if (!this.#isCurrent(reading, value)) {
      this.#removeStored();
      if (reading.kind === "invalid") {
        const message = `The stored state '${this.key}' was not valid and has been removed.`;
        this.onError(new PersistenceError("invalid", message, { cause: reading.cause }));
      }
      return true;
    }
    const missedClear = this.#known !== null && epochOf(value) > this.#epoch;
    if (reading.state.timestamp < this.timestamp() && !missedClear) return true;
    this.#adopt(reading.state, value);
    return false;
  }

  #isExpired(timestamp: number): boolean {
    return Date.now() - timestamp > (this.#config?.ttlMs ?? STATE_TTL_MS);
  }

  #isCurrent(reading: Reading<S>, value: unknown): reading is { kind: "state"; state: S } {
    if (reading.kind !== "state" || this.#isExpired(reading.state.timestamp)) return false;
    return epochOf(value) >= this.#clearedAt;
  }

  #wasCurrent(value: unknown): boolean {
    return this.#isCurrent(this.read(value), value);
  }

  #toStored(state: S): StoredState<S> {
    return { ...state, [EPOCH]: this.#epoch };
  }

  #write(state: S, text: string): void {
    try {
      if (!writeItem(this.key, text)) return;
    } catch (cause) {
      this.#report("quota", "The browser does not store the state; the previous one remains.", cause);
      return;
    }
    tryWriteItem(versionKeyOf(this.key), String(state.version));
    this.#known = state.timestamp;
    this.#lastError = null;
    this.#log("saved", text.length);
    this.#update({ lastSavedAt: Date.now() });
  }

  #removeStored(): void {
    this.#known = null;
    removeItem(this.key);
    removeItem(versionKeyOf(this.key));
  }

  /** Take over what another tab has stored. */
  #adopt(state: S, stored: unknown): void {
    this.#known = timestampOf(stored);
    this.#epoch = epochOf(stored);
    this.#apply(state);
    this.#update({ lastSavedAt: state.timestamp });
  }

  /** Empty the store at a time to which older states from elsewhere lose. */
  #empty(at: number, epoch: number): void {
    this.#known = null;
    this.#saved = null;
    this.#epoch = epoch;
    this.#change({ ...this.definition.empty, timestamp: at });
    this.#update({ lastSavedAt: null });
  }

  /** Replace the kept fields of the store by a state from elsewhere. */
  #apply(state: S): void {
    this.#saved = state;
    this.#change({ ...pick(state, keptFields(this.definition)), timestamp: state.timestamp });
  }

  /** Change the store without saving, which cancels a pending save. */
  #change(part: Partial<S> & Pick<Stamped, "timestamp">): void {
    this.#cancelSave();
    this.#settled = part.timestamp;
    if (this.#isOwner()) this.#set(part);
    // A subscriber of the store may have changed it in turn.
    if (this.isDirty()) this.#schedule();
  }

  #set(part: Partial<S>): void {
    this.#isApplying = true;
    try {
      this.definition.store.setState(part);
    } finally {
      this.#isApplying = false;
    }
  }

  #update(part: Partial<PersistenceSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...part };
    for (const user of this.#users) user.onChange();
  }

  /** Report an error once, until a save succeeds. */
  #report(code: PersistenceErrorCode, message: string, cause?: unknown): void {
    if (code === this.#lastError) return;
    this.#lastError = code;
    this.onError(new PersistenceError(code, message, { cause }));
  }

  #log(...values: unknown[]): void {
    if (this.#config?.debug) console.debug(`[${this.key}]`, ...values);
  }
}

/** Return the epoch of an unvalidated state, or 0. */
function epochOf(value: unknown): number {
  return isRecord(value) && typeof value[EPOCH] === "number" ? value[EPOCH] : 0;
}

/** The persistences of one store, of which each key has one. */
export class PersistenceRegistry<S extends Stamped> {
  readonly #persistences = new Map<string, Persistence<S>>();

  constructor(readonly definition: StateDefinition<S>) {}

  get(key: string): Persistence<S> {
    const persistence = this.#persistences.get(key) ?? new Persistence(this.definition, key);
    this.#persistences.set(key, persistence);
    return persistence;
  }

  find(key: string): Persistence<S> | undefined {
    return this.#persistences.get(key);
  }

  /** Clear one key; without a component that uses it, only the storage and the other tabs. */
  clear(key: string): void {
    const persistence = this.find(key);
    if (persistence) return persistence.clear();
    [key, versionKeyOf(key), noteKeyOf(key)].forEach(removeItem);
    postOnce({ key, kind: "cleared", at: Date.now() });
  }

  /** Return whether a valid state that has not expired is stored. */
  has(key: string): boolean {
    const reading = readState(this.definition, parseJson(readItem(key) ?? ""));
    return reading.kind === "state" && Date.now() - reading.state.timestamp <= STATE_TTL_MS;
  }
}

export function versionKeyOf(key: string): string {
  return `${key}-version`;
}
