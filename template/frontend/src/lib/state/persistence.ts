/** Keeps the state of a store in localStorage, in step with the other tabs and with the server. */
import { Debouncer } from "./debouncer";
import {
  keptFields,
  type Migrate,
  nextTimestamp,
  parseJson,
  pick,
  type Reading,
  readState,
  type Stamped,
  type StateDefinition,
} from "./definition";
import { PersistenceError, type PersistenceErrorCode } from "./errors";
import { removeItem } from "./local-storage";
import { listenToPage, type PageListener } from "./page-lifecycle";
import { type Replica, ServerSync, type SyncStatus } from "./server-sync";
import { type CurrentCopy, StoredState } from "./stored-state";
import { noteKeyOf } from "./sync-note";
import { type ItemChange, TabChannel, type TabListener, type TabMessage } from "./tab-channel";

export const PERSISTENCE_DEBOUNCE_MS = 1_000;
export const PERSISTENCE_MAX_WAIT_MS = 5_000;
export const STATE_TTL_MS = 86_400_000;
export const MAX_STATE_SIZE_BYTES = 1_048_576;

export interface PersistenceConfig {
  debounceMs: number;
  maxWaitMs: number;
  ttlMs: number;
  enableCrossTabSync: boolean;
  /** The address of the state on the server. */
  url: string | null;
  debug: boolean;
}

const DEFAULT_CONFIG: PersistenceConfig = {
  debounceMs: PERSISTENCE_DEBOUNCE_MS,
  maxWaitMs: PERSISTENCE_MAX_WAIT_MS,
  ttlMs: STATE_TTL_MS,
  enableCrossTabSync: true,
  url: null,
  debug: false,
};

/** A component that uses a persistence. */
export interface PersistenceUser {
  onChange(): void;
  onError(error: PersistenceError): void;
  migrate: Migrate;
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

interface Owner {
  readonly key: string;
  readonly snapshot: PersistenceSnapshot;
}

/** The last persistence that used each store: a store holds the state of one key only. */
const owners = new WeakMap<object, Owner>();

export class Persistence<S extends Stamped> implements Replica<S>, TabListener, PageListener {
  readonly #users = new Set<PersistenceUser>();
  readonly #stored: StoredState<S>;
  readonly #tabs: TabChannel;
  readonly #saving = new Debouncer(() => this.#save());
  #config = DEFAULT_CONFIG;
  #sync: ServerSync<S> | null = null;
  #snapshot = NOT_INITIALIZED;
  #stopListening: (() => void)[] = [];
  #isApplying = false;
  #saved: S | null = null;
  /** The timestamp of the store when its state was last saved, taken over or cleared. */
  #settled = 0;
  #lastError: PersistenceErrorCode | null = null;

  constructor(
    readonly definition: StateDefinition<S>,
    readonly key: string,
  ) {
    const isExpired = (timestamp: number) => Date.now() - timestamp > this.#config.ttlMs;
    this.#stored = new StoredState(key, (value) => this.read(value), isExpired);
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

  /** Save the pending changes; without a stored state, save in any case. */
  forceSave(): void {
    if (this.isDirty() || !this.#stored.isKnown) this.#save();
  }

  /** Remove the state from this tab, the storage, the other tabs and the server. */
  clear(): void {
    const at = nextTimestamp(this.timestamp());
    this.#stored.remove();
    this.#stored.noteClear(at);
    this.#empty(at, at);
    this.#tell({ key: this.key, kind: "cleared", at });
    if (this.#sync) this.#sync.delete({ at, version: "any" });
    else removeItem(noteKeyOf(this.key));
  }

  // Replica

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
    if (this.#stored.look().kind === "removed") this.#stored.forget();
    if (this.#isNewest()) this.#write(state);
  }

  clearHere(at = this.timestamp() + 1): void {
    this.#stored.removeKnown();
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

  // TabListener

  onMessage(message: TabMessage): void {
    if (message.kind === "saved") this.#consider(message.state);
    else this.#hearClear(message.at);
  }

  onItemChange({ before, after }: ItemChange): void {
    if (after !== null) {
      this.#consider(parseJson(after));
      return;
    }
    // A tab that is opened removes an expired or corrupt state, which is not a clear.
    const isClear = before === null || this.#stored.examine(parseJson(before)).kind === "current";
    if (isClear) this.#hearClear(Date.now());
  }

  #consider(value: unknown): void {
    const copy = this.#stored.examine(value);
    if (copy.kind === "current" && copy.state.timestamp > this.timestamp()) this.#adopt(copy);
    // Another tab has saved it before it has heard of a clear.
    if (copy.kind === "void") this.#isNewest();
  }

  #hearClear(at: number): void {
    if (!this.#stored.noteClear(at)) return;
    this.#empty(at, at);
    if (this.#isNewest()) this.#sync?.delete({ at, version: "known" });
  }

  #tell(message: TabMessage): void {
    if (this.#config.enableCrossTabSync) this.#tabs.post(message);
  }

  // PageListener

  onHide(): void {
    if (this.isDirty()) this.#save();
    this.#sync?.leave();
  }

  onSuspend(): void {
    this.#disconnect();
  }

  onResume(): void {
    this.#isNewest();
    this.#connect();
  }

  #start(config: PersistenceConfig): void {
    this.#config = config;
    if (this.#sync?.url !== config.url) {
      this.#sync = config.url === null ? null : new ServerSync(config.url, this.key, this);
    }
    this.#isNewest();
    this.#stopListening = [
      this.definition.store.subscribe(this.#onStoreChange),
      listenToPage(this),
    ];
    this.#connect();
    this.#update({ isInitialized: true });
    if (this.isDirty()) this.#schedule();
  }

  #stop(): void {
    this.onHide();
    for (const stop of this.#stopListening) stop();
    this.#disconnect();
    this.#saving.cancel();
    this.#snapshot = { ...this.#snapshot, isInitialized: false, syncStatus: "off" };
  }

  #connect(): void {
    // A clear may have been missed. With nothing here or in the storage, the state begins now.
    if (!this.#saved && !this.isDirty()) this.#stored.begin(Date.now());
    if (this.#config.enableCrossTabSync) this.#tabs.open();
    this.#sync?.start();
  }

  #disconnect(): void {
    this.#tabs.close();
    this.#sync?.stop();
  }

  /** Empty a store that holds the state of another key: two users must never meet. */
  #claimStore(): void {
    const { store, empty } = this.definition;
    const owner = owners.get(store);
    if (owner && owner !== this && owner.snapshot.isInitialized) {
      const advice = "Use the same storageKey and scope in all components.";
      throw new TypeError(
        `The store holds the state of '${owner.key}', not '${this.key}'. ${advice}`,
      );
    }
    owners.set(store, this);
    if (!owner || owner === this) return;
    this.#stored.forget();
    this.#saved = null;
    this.#change(empty);
  }

  #isOwner(): boolean {
    return owners.get(this.definition.store) === this;
  }

  readonly #onStoreChange = (state: S, previous: S): void => {
    const fields = keptFields(this.definition);
    if (this.#isApplying || fields.every((name) => state[name] === previous[name])) return;
    // Every change has a later timestamp, also that of a setter that forgets it.
    if (state.timestamp <= previous.timestamp) this.#stamp(previous.timestamp);
    this.#schedule();
  };

  #stamp(previous: number): void {
    this.#set({ timestamp: nextTimestamp(previous) } as Partial<S>);
  }

  #schedule(): void {
    this.#saving.call(this.#config.debounceMs, this.#config.maxWaitMs);
  }

  #save(): void {
    this.#saving.cancel();
    const state = this.#isNewest() ? this.#readStore() : null;
    if (!state) return;
    this.#saved = state;
    this.#settled = state.timestamp;
    this.#write(state);
    this.#tell({ key: this.key, kind: "saved", state: this.#stored.toCopy(state) });
    this.#sync?.push();
  }

  /** Return the state of the store if it can be saved. */
  #readStore(): S | null {
    const { store, empty, schema, transient } = this.definition;
    if (this.timestamp() === 0) this.#stamp(0);
    const fields = pick(store.getState(), keptFields(this.definition));
    const { data, error } = schema.safeParse({ ...fields, ...pick(empty, transient) });
    if (error) {
      this.#report(
        "invalid",
        `The state is not valid and cannot be saved: ${error.message}`,
        error,
      );
      return null;
    }
    const size = new Blob([JSON.stringify(data)]).size;
    if (size > MAX_STATE_SIZE_BYTES) {
      this.#report(
        "too_large",
        `The state has ${size} bytes; the limit is ${MAX_STATE_SIZE_BYTES} bytes.`,
      );
      return null;
    }
    return data;
  }

  #write(state: S): void {
    try {
      if (!this.#stored.write(state)) return;
    } catch (cause) {
      this.#report(
        "quota",
        "The browser does not store the state; the previous one remains.",
        cause,
      );
      return;
    }
    this.#lastError = null;
    this.#log("saved", state);
    this.#update({ lastSavedAt: Date.now() });
  }

  /** Follow the storage if another tab was there later; return whether the state here is newer. */
  #isNewest(): boolean {
    const copy = this.#stored.look();
    switch (copy.kind) {
      case "none":
      case "known":
        return true;
      case "removed":
        this.#empty(this.timestamp() + 1, Date.now());
        return false;
      case "from_newer_version":
        this.#report(
          "conflict",
          "A newer version of this page has stored the state: reload the page.",
        );
        return false;
      case "invalid":
        this.#stored.remove();
        this.#reportInvalid(copy.cause);
        return true;
      case "expired":
        this.#stored.remove();
        return true;
      case "void":
        this.#stored.remove();
        this.#tell({ key: this.key, kind: "cleared", at: copy.clearedAt });
        return true;
      case "current":
        if (copy.state.timestamp < this.timestamp() && !copy.hasMissedClear) return true;
        this.#adopt(copy);
        return false;
    }
  }

  /** Take over the state that another tab has stored. */
  #adopt(copy: CurrentCopy<S>): void {
    this.#stored.follow(copy);
    this.#apply(copy.state);
    this.#update({ lastSavedAt: copy.state.timestamp });
  }

  /** Replace the kept fields of the store by those of a state that is saved elsewhere. */
  #apply(state: S): void {
    this.#saved = state;
    this.#change({ ...pick(state, keptFields(this.definition)), timestamp: state.timestamp });
  }

  /** Empty the store. Older states from elsewhere lose to the given time. */
  #empty(at: number, epoch: number): void {
    this.#stored.forget();
    this.#stored.begin(epoch);
    this.#saved = null;
    this.#change({ ...this.definition.empty, timestamp: at });
    this.#update({ lastSavedAt: null });
  }

  /** Change the store without saving, which cancels a pending save. */
  #change(part: Partial<S> & Pick<Stamped, "timestamp">): void {
    this.#saving.cancel();
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

  #reportInvalid(cause: unknown): void {
    const message = `The stored state '${this.key}' was not valid and has been removed.`;
    this.onError(new PersistenceError("invalid", message, { cause }));
  }

  /** Report an error once, until a save succeeds. */
  #report(code: PersistenceErrorCode, message: string, cause?: unknown): void {
    if (code === this.#lastError) return;
    this.#lastError = code;
    this.onError(new PersistenceError(code, message, { cause }));
  }

  #log(...values: unknown[]): void {
    if (this.#config.debug) console.debug(`[${this.key}]`, ...values);
  }
}
