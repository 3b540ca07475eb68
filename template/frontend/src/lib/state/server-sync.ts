/**
 * Keeps a state in step with the server.
 *
 * The order of the server decides: a state with a higher version replaces one that the server
 * has acknowledged. Only if both sides have changed does the later timestamp win.
 */
import { Backoff } from "./backoff";
import { type Reading, type Stamped, timestampOf } from "./definition";
import { PersistenceError } from "./errors";
import { type Outcome, type RemoteState, StateClient } from "./state-client";
import { StateSubscription, type SubscriptionListener } from "./state-subscription";
import { SyncNote } from "./sync-note";

export type SyncStatus = "off" | "connecting" | "online" | "offline" | "refused";

/** The state in this browser, as the synchronization sees it. */
export interface Replica<S extends Stamped> {
  /** The last saved state; null if none was saved, or after a clear. */
  saved(): S | null;
  /** The time of the last change, which may not be saved yet. */
  timestamp(): number;
  isDirty(): boolean;
  read(value: unknown): Reading<S>;
  takeOver(state: S): void;
  /** Clear this browser, but not the server. */
  clearHere(at?: number): void;
  onStatus(status: SyncStatus): void;
  onError(error: PersistenceError): void;
}

interface Deletion {
  /** The time of the clear; the deletion is void once the state here has changed again. */
  at: number;
  /** Whether to delete any state on the server, or only the version that this tab has seen. */
  version: "any" | "known";
}

// Requests without a pause, and saves that are refused as outdated in a row.
const MAX_REQUESTS = 10;
const MAX_REFUSALS = 3;

export class ServerSync<S extends Stamped> implements SubscriptionListener {
  readonly #client: StateClient;
  readonly #subscription: StateSubscription;
  readonly #note: SyncNote;
  readonly #retrying = new Backoff(() => void this.#run());
  #status: SyncStatus = "off";
  #isActive = false;
  #isBusy = false;
  /** The version on the server, 0 if it has no state; null before the first answer. */
  #version: number | null = null;
  #remoteTimestamp = 0;
  #mustFetch = false;
  /** The version in the last message during a request. */
  #heard: number | null = null;
  #deletion: Deletion | null = null;
  // Timestamps of states that the server has, will not take, and has not answered yet.
  #acknowledged: number | null = null;
  #rejected: number | null = null;
  #sending: number | null = null;
  #refusals = 0;
  /** Whether a state was saved in this visit. */
  #hasPushed = false;

  constructor(
    readonly url: string,
    key: string,
    readonly replica: Replica<S>,
  ) {
    this.#client = new StateClient(url);
    this.#subscription = new StateSubscription(url, this);
    this.#note = new SyncNote(key);
  }

  start(): void {
    this.#isActive = true;
    this.#resumeDeletion();
    this.#setStatus("connecting");
    this.#subscription.open();
    window.addEventListener("online", this.#onOnline);
  }

  /** Send the pending change, and disconnect. */
  stop(): void {
    this.leave();
    this.#deactivate();
    this.#status = "off";
  }

  /** Send the last saved state, after any request in progress. */
  push(): void {
    this.#hasPushed = true;
    if (this.#deletion) this.#finishDeletion(); // the saved state replaces the deleted one
    void this.#run();
  }

  /** Send the pending change in a way that survives the page. */
  leave(): void {
    const state = this.replica.saved();
    if (
      !this.#isActive ||
      !this.#hasPushed ||
      !this.#isPending() ||
      state?.timestamp === this.#sending
    )
      return;
    if (!this.#isBusy && this.#canSend()) void this.#run();
    // There is no time to wait for another request: the service compares the timestamps.
    else if (state) this.#save(state, null).then(() => this.#run(), ignore);
  }

  delete(deletion: Deletion): void {
    this.#deletion = deletion;
    this.#note.write({ deletedAt: deletion.at });
    // After a logout a user often leaves the page at once, so a clear cannot wait for the request
    // in progress. That may be a save, which may arrive later: the deletion stays pending.
    if (this.#isBusy && deletion.version === "any") void this.#client.delete(null).catch(ignore);
    void this.#run();
  }

  onState(remote: RemoteState): void {
    this.#setStatus("online");
    this.#receive(remote);
  }

  onLost(wasOpen: boolean): void {
    this.#setStatus("offline");
    // Unlike a WebSocket, a request shows whether access is refused.
    this.#mustFetch ||= !wasOpen;
    void this.#run();
  }

  onRefused(): void {
    this.#refuse(new PersistenceError("refused", "The service refuses access to this state."));
  }

  readonly #onOnline = (): void => {
    this.#retrying.reset();
    this.#subscription.reconnect();
    void this.#run();
  };

  #deactivate(): void {
    this.#isActive = false;
    window.removeEventListener("online", this.#onOnline);
    this.#retrying.reset();
    this.#subscription.close();
  }

  #refuse(error: PersistenceError): void {
    this.#deactivate();
    this.#setStatus("refused");
    this.replica.onError(error);
  }

  #setStatus(status: SyncStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.replica.onStatus(status);
  }

  #receive(remote: RemoteState): void {
    if (this.#isBusy) {
      this.#heard = remote.version;
      return;
    }
    // A lower version is late, or the server has lost its states.
    this.#mustFetch = this.#version !== null && remote.version < this.#version;
    const isEcho =
      remote.version === this.#version && this.replica.saved()?.timestamp === this.#acknowledged;
    if (!this.#mustFetch && !isEcho) this.#merge(remote);
    void this.#run();
  }

  /** Take the state of the server, unless the state here was changed later. */
  #merge({ state, version }: RemoteState): void {
    this.#version = version;
    this.#remoteTimestamp = timestampOf(state);
    if (state === null) {
      if (this.#isDeleting()) this.#finishDeletion();
      return;
    }
    const reading = this.replica.read(state);
    if (reading.kind === "from_newer_version") {
      const message = "A newer version of this page has saved the state: reload the page.";
      this.#refuse(new PersistenceError("conflict", message));
    } else if (reading.kind === "invalid") {
      const message = "The state on the server is not valid; the next save replaces it.";
      this.replica.onError(new PersistenceError("invalid", message, { cause: reading.cause }));
    } else {
      this.#mergeState(reading.state);
    }
  }

  #mergeState(state: S): void {
    const isNewer = state.timestamp > this.replica.timestamp();
    if (this.#isSettled() || isNewer) this.replica.takeOver(state);
    this.#acknowledge(state.timestamp);
  }

  /** Return whether there is nothing here to send. */
  #isSettled(): boolean {
    return !this.replica.isDirty() && !this.#isPending();
  }

  #isPending(): boolean {
    const saved = this.replica.saved();
    if (!saved) return this.#isDeleting();
    return saved.timestamp !== this.#rejected && !this.#isAcknowledged(saved.timestamp);
  }

  /** Return whether the server has taken the state of this browser. */
  #isTaken(): boolean {
    const saved = this.replica.saved();
    return saved !== null && !this.replica.isDirty() && this.#isAcknowledged(saved.timestamp);
  }

  #isAcknowledged(timestamp: number): boolean {
    // Another tab may have sent it.
    return timestamp === this.#acknowledged || timestamp === this.#note.read().acknowledged;
  }

  #acknowledge(timestamp: number): void {
    if (this.replica.saved()?.timestamp !== timestamp) return; // changed or cleared meanwhile
    this.#acknowledged = timestamp;
    this.#note.write({ acknowledged: timestamp });
  }

  #isDeleting(): boolean {
    return this.#deletion !== null && this.#deletion.at === this.replica.timestamp();
  }

  #resumeDeletion(): void {
    const { deletedAt } = this.#note.read();
    if (deletedAt === undefined || this.replica.saved() || this.replica.isDirty()) return;
    this.replica.clearHere(deletedAt);
    this.#deletion = { at: deletedAt, version: "known" };
  }

  #finishDeletion(): void {
    this.#deletion = null;
    this.#note.remove();
  }

  /** Send one request at a time until the server has everything. */
  async #run(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      for (let count = 0; this.#hasWork(); count += 1) {
        if (count === MAX_REQUESTS)
          throw new Error("Others change the state on the server too fast.");
        await (this.#canSend() ? this.#send() : this.#fetch());
        this.#retrying.reset();
      }
    } catch (error) {
      this.#handle(error);
    } finally {
      this.#isBusy = false;
    }
    const isBehind = this.#heard !== null && this.#heard !== this.#version;
    this.#heard = null;
    if (!isBehind || !this.#isActive) return;
    this.#mustFetch = true; // the message may be older than the answer
    void this.#run();
  }

  #handle(error: unknown): void {
    if (error instanceof PersistenceError && error.code === "refused") {
      this.#refuse(error);
    } else if (error instanceof PersistenceError) {
      this.#rejected = this.replica.saved()?.timestamp ?? null;
      this.#deletion = null;
      this.replica.onError(error);
    } else if (this.#isActive && (this.#isPending() || this.#status === "online")) {
      this.#retrying.schedule(); // otherwise the next connection begins with a message
    }
  }

  #hasWork(): boolean {
    return (this.#isActive || this.#isDeleting()) && (this.#isUnsure() || this.#isPending());
  }

  /** Return whether the version to replace is known, or does not matter. */
  #canSend(): boolean {
    const deletesAny = this.#isDeleting() && this.#deletion?.version === "any";
    return deletesAny || (this.#version !== null && !this.#isUnsure());
  }

  /** Return whether to look at the server: a state that it has taken is not there. */
  #isUnsure(): boolean {
    return this.#mustFetch || (this.#version === 0 && this.#isTaken());
  }

  async #fetch(): Promise<void> {
    const before = this.#version;
    const wasTaken = this.#isTaken();
    const remote = await this.#client.fetch();
    if (this.#version !== before) return; // overtaken by a save while the page was left
    if (!this.#isActive) {
      // Without a component that uses the state, the next visit decides.
      if (remote.state === null && this.#isDeleting()) this.#finishDeletion();
      this.#deletion = null;
      return;
    }
    this.#mustFetch = false;
    this.#merge(remote);
    // The server had the state, unless another tab has sent it only during this request.
    if (remote.state === null && wasTaken && this.#isTaken()) {
      this.#note.remove();
      this.replica.clearHere();
    }
  }

  async #send(): Promise<void> {
    const state = this.replica.saved();
    const { kind } = await (state ? this.#save(state, this.#version) : this.#delete());
    this.#mustFetch ||= kind !== "done";
    this.#refusals = kind === "outdated" ? this.#refusals + 1 : 0;
    if (this.#refusals <= MAX_REFUSALS) return;
    this.#refusals = 0;
    const message = "The server finds this state out of date: check the clock of this device.";
    throw new PersistenceError("conflict", message);
  }

  async #save(state: S, expected: number | null): Promise<Outcome> {
    // The clock of the device that saved before may be fast, but the service takes no earlier one.
    const timestamp = Math.max(state.timestamp, this.#remoteTimestamp);
    this.#sending = state.timestamp;
    try {
      const outcome = await this.#client.save({ ...state, timestamp }, expected);
      if (outcome.kind === "done") {
        this.#version = outcome.version;
        this.#remoteTimestamp = timestamp;
        this.#acknowledge(state.timestamp);
        // If the state here was replaced meanwhile, the server has another one.
        this.#mustFetch ||= this.#acknowledged !== state.timestamp && !this.#isPending();
      }
      return outcome;
    } finally {
      this.#sending = null;
    }
  }

  async #delete(): Promise<Outcome> {
    const outcome = await this.#client.delete(
      this.#deletion?.version === "any" ? null : this.#version,
    );
    if (outcome.kind === "done") {
      this.#version = 0;
      if (this.#isDeleting()) this.#finishDeletion();
    }
    return outcome;
  }
}

function ignore(): void {}
