/**
 * Keeps a state on the server at `/api/state/{workspace}/{user}`.
 *
 * The order of the server decides: a state with a higher version replaces one that the server
 * has acknowledged. Only if both sides have changed does the later timestamp win.
 */
import { Backoff } from "./backoff";
import { isRecord, parseJson, type Reading, type Stamped, timestampOf } from "./definition";
import { PersistenceError } from "./errors";
import { readItem, removeItem, tryWriteItem } from "./local-storage";

export type SyncStatus = "off" | "connecting" | "online" | "offline" | "refused";

/** What is kept in this browser, as the synchronization sees it. */
export interface Replica<S extends Stamped> {
  /** The last saved state; null if none was saved, or after a clear. */
  saved(): S | null;
  /** The time of the last change, which may not be saved yet. */
  timestamp(): number;
  isDirty(): boolean;
  read(value: unknown): Reading<S>;
  takeOver(state: S): void;
  /** Clear this browser; the server is not told. */
  clearHere(at?: number): void;
  onStatus(status: SyncStatus): void;
  onError(error: PersistenceError): void;
}

interface Message {
  state: unknown;
  version: number;
}

interface Deletion {
  /** The time of the clear; the deletion is void once the state here has changed again. */
  at: number;
  /** Whether to delete any state on the server, or only the version that this tab has seen. */
  version: "any" | "known";
}

const PATH = "/api/state";
const TIMEOUT_MS = 30_000;
// Browsers refuse keepalive requests with more than 64 KiB in all.
const MAX_KEEPALIVE_BYTES = 60_000;
const MAX_CONFLICTS = 3;
// Close codes of a service that tells a browser why it refuses.
const REFUSED_CODES: readonly number[] = [4401, 4403];
const RETRIED_STATUSES: readonly number[] = [408, 425, 429];

/**
 * Return the address of a state.
 *
 * @throws TypeError If an id cannot be a segment of a path.
 */
export function stateUrl(base: string, scope: readonly [string, string]): string {
  for (const id of scope) {
    if (id === "" || id.length > 200 || id === "." || id === ".." || id.includes("/")) {
      const expected = "1 to 200 characters without a slash, and neither '.' nor '..'";
      throw new TypeError(`The id '${id}' in the scope cannot be part of an address: use ${expected}.`);
    }
  }
  return [base.replace(/\/$/, "") + PATH, ...scope.map(encodeURIComponent)].join("/");
}

export class ServerSync<S extends Stamped> {
  readonly #noteKey: string;
  readonly #reconnecting = new Backoff(() => this.#connect());
  readonly #retrying = new Backoff(() => void this.#run());
  #status: SyncStatus = "off";
  #isActive = false;
  #isBusy = false;
  #socket: WebSocket | null = null;
  /** The version on the server, 0 if it has no state; null before the first answer. */
  #version: number | null = null;
  #remoteTimestamp = 0;
  #mustFetch = false;
  #held: Message | null = null;
  #deletion: Deletion | null = null;
  #acknowledged: number | null = null;
  #rejected: number | null = null;
  /** The timestamp of the state in a request that is not answered yet. */
  #sending: number | null = null;
  /** How often in a row the server has refused a request as out of date. */
  #conflicts = 0;

  constructor(
    readonly url: string,
    key: string,
    readonly replica: Replica<S>,
  ) {
    this.#noteKey = noteKeyOf(key);
  }

  start(): void {
    this.#isActive = true;
    this.#resumeDeletion();
    this.#setStatus("connecting");
    // StrictMode starts, stops and starts again: only the last one opens a socket.
    queueMicrotask(() => this.#connect());
    window.addEventListener("online", this.#reconnect);
  }

  /** Send what is pending, and disconnect. */
  stop(): void {
    this.leave();
    this.#deactivate();
    this.#status = "off";
  }

  /** Connect again, because the network or the page is back. */
  readonly #reconnect = (): void => {
    this.#disconnect();
    this.#reconnecting.reset();
    this.#retrying.reset();
    this.#connect();
    void this.#run();
  };

  /** Send the last saved state, after any request in progress. */
  push(): void {
    if (this.#deletion) {
      this.#deletion = null; // the saved state replaces the one on the server anyway
      removeItem(this.#noteKey);
    }
    void this.#run();
  }

  /** Send what is pending in a way that survives the page. */
  leave(): void {
    const state = this.replica.saved();
    if (!this.#isActive || !this.#isPending() || state?.timestamp === this.#sending) return;
    if (!this.#isBusy && this.#canSend()) void this.#run();
    // There is no time to wait for another request: the service compares the timestamps.
    else if (state) void this.#post(state, {}).catch(ignore);
  }

  delete(deletion: Deletion): void {
    this.#deletion = deletion;
    this.#noteDeletion();
    // A user who logs out often leaves the page at once, so a clear cannot wait for the request
    // in progress. That may be a save, which may arrive later: the deletion stays pending.
    if (this.#isBusy && deletion.version === "any") void this.#request("DELETE", {}).catch(ignore);
    void this.#run();
  }

  #resumeDeletion(): void {
    const { deletedAt } = readNote(this.#noteKey);
    if (deletedAt === undefined || this.replica.saved()) return;
    this.replica.clearHere(deletedAt);
    this.#deletion = { at: deletedAt, version: "known" };
    this.#noteDeletion();
  }

  /** Note the deletion for the next visit, in case that the server is not reached now. */
  #noteDeletion(): void {
    tryWriteItem(this.#noteKey, JSON.stringify({ deletedAt: this.#deletion?.at }));
  }

  #finishDeletion(): void {
    this.#deletion = null;
    removeItem(this.#noteKey);
  }

  #isDeleting(): boolean {
    return this.#deletion !== null && this.#deletion.at === this.replica.timestamp();
  }

  #deactivate(): void {
    this.#isActive = false;
    window.removeEventListener("online", this.#reconnect);
    this.#reconnecting.cancel();
    this.#retrying.cancel();
    this.#disconnect();
  }

  #connect(): void {
    if (!this.#isActive || this.#socket) return;
    const socket = new WebSocket(subscriptionUrl(this.url));
    let wasOnline = false;
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = typeof data === "string" ? parseJson(data) : undefined;
      if (this.#socket !== socket || !isMessage(message)) return;
      wasOnline = true;
      this.#reconnecting.reset();
      this.#setStatus("online");
      this.#receive(message);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (REFUSED_CODES.includes(code)) {
        this.#refuse(new PersistenceError("refused", "The service refuses access to this state."));
        return;
      }
      this.#setStatus("offline");
      this.#reconnecting.schedule();
      // A browser does not tell a refused connection from a lost one: a request does.
      this.#mustFetch ||= !wasOnline;
      void this.#run();
    };
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #receive(message: Message): void {
    if (this.#isBusy) {
      this.#held = message;
      return;
    }
    // Versions rise: a lower one is late, or the server has lost its states.
    this.#mustFetch = this.#version !== null && message.version < this.#version;
    const isEcho = message.version > 0 && message.version === this.#version;
    if (!this.#mustFetch && !isEcho) this.#merge(message.state, message.version);
    void this.#run();
  }

  /** Take what the server has, unless what is here was changed later. */
  #merge(value: unknown, version: number): void {
    this.#version = version;
    this.#remoteTimestamp = timestampOf(value);
    const isSettled = !this.replica.isDirty() && !this.#isPending();
    if (value === null) {
      if (this.#isDeleting()) this.#finishDeletion();
      else if (isSettled && this.replica.saved()) this.#followDeletion();
      return;
    }
    const reading = this.replica.read(value);
    if (reading.kind === "from_newer_version") {
      const message = "A newer version of this page has saved the state: reload the page.";
      this.#refuse(new PersistenceError("conflict", message));
    } else if (reading.kind === "invalid") {
      const message = "The state on the server is not valid; the next save replaces it.";
      this.replica.onError(new PersistenceError("invalid", message, { cause: reading.cause }));
    } else if (isSettled || reading.state.timestamp > this.replica.timestamp()) {
      this.replica.takeOver(reading.state);
      this.#acknowledge(reading.state.timestamp);
    } else if (reading.state.timestamp === this.replica.saved()?.timestamp) {
      this.#acknowledge(reading.state.timestamp);
    }
  }

  #followDeletion(): void {
    removeItem(this.#noteKey);
    this.replica.clearHere();
  }

  #isPending(): boolean {
    const saved = this.replica.saved();
    if (!saved) return this.#isDeleting();
    return saved.timestamp !== this.#rejected && !this.#isAcknowledged(saved.timestamp);
  }

  #isAcknowledged(timestamp: number): boolean {
    // Another tab may have sent it.
    return timestamp === this.#acknowledged || timestamp === readNote(this.#noteKey).acknowledged;
  }

  #acknowledge(timestamp: number): void {
    if (this.replica.saved()?.timestamp !== timestamp) return; // changed or cleared meanwhile
    this.#acknowledged = timestamp;
    tryWriteItem(this.#noteKey, JSON.stringify({ acknowledged: timestamp }));
  }

  /** Send one request at a time until the server has everything. */
  async #run(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      while ((this.#isActive || this.#isDeleting()) && (this.#mustFetch || this.#isPending())) {
        await (this.#canSend() ? this.#send() : this.#fetch());
        this.#retrying.reset();
      }
    } catch (error) {
      this.#handle(error);
    } finally {
      this.#isBusy = false;
    }
    const held = this.#held;
    this.#held = null;
    if (held && this.#isActive) this.#receive(held);
  }

  #canSend(): boolean {
    const deletesAny = this.#isDeleting() && this.#deletion?.version === "any";
    return deletesAny || (this.#version !== null && !this.#mustFetch);
  }

  #handle(error: unknown): void {
    if (error instanceof PersistenceError && error.code === "refused") {
      this.#refuse(error);
    } else if (error instanceof PersistenceError) {
      this.#rejected = this.replica.saved()?.timestamp ?? null;
      this.#deletion = null;
      this.replica.onError(error);
    } else if (this.#isActive && this.#isPending()) {
      this.#retrying.schedule();
    }
  }

  #refuse(error: PersistenceError): void {
    this.#deactivate();
    this.#setStatus("refused");
    this.replica.onError(error);
  }

  async #fetch(): Promise<void> {
    const response = await this.#request("GET", {});
    if (response.status === 404) this.#mergeFetched(null, 0);
    else this.#mergeFetched(await response.json(), versionOf(response));
  }

  #mergeFetched(value: unknown, version: number | null): void {
    if (version === null) throw new Error("The server sent a state without an ETag.");
    this.#mustFetch = false;
    this.#merge(value, version);
  }

  async #send(): Promise<void> {
    const state = this.replica.saved();
    const isAbsent = this.#version === 0;
    const conditions = isAbsent ? { "If-None-Match": "*" } : { "If-Match": `"${this.#version}"` };
    const { status } = await (state ? this.#post(state, conditions) : this.#deleteStored(conditions));
    if (!isConflict(status)) this.#conflicts = 0;
    else this.#noteConflict(status);
  }

  #noteConflict(status: number): void {
    this.#mustFetch = true;
    this.#conflicts += 1;
    if (this.#conflicts <= MAX_CONFLICTS) return;
    this.#conflicts = 0;
    // Others may be faster again and again, but that does not explain a timestamp.
    if (status === 412) throw new Error("The state on the server changes too fast.");
    const message = "The server finds this state out of date: check the clock of this device.";
    throw new PersistenceError("conflict", message);
  }

  async #post(state: S, conditions: Record<string, string>): Promise<Response> {
    // The clock of the device that saved before may be fast, but the service takes no earlier one.
    const timestamp = Math.max(state.timestamp, this.#remoteTimestamp);
    this.#sending = state.timestamp;
    const response = await this.#request("POST", conditions, JSON.stringify({ ...state, timestamp })).finally(
      () => (this.#sending = null),
    );
    if (response.ok) {
      this.#version = versionOf(response);
      this.#remoteTimestamp = timestamp;
      this.#acknowledge(state.timestamp);
    }
    return response;
  }

  async #deleteStored(conditions: Record<string, string>): Promise<Response> {
    const response = await this.#request("DELETE", this.#deletion?.version === "any" ? {} : conditions);
    if (!isConflict(response.status)) {
      this.#version = 0;
      if (this.#isDeleting()) this.#finishDeletion();
    }
    return response;
  }

  /** Return a response that is a success, a conflict, or the absence of a state. */
  async #request(method: string, conditions: Record<string, string>, body?: string): Promise<Response> {
    const response = await fetch(this.url, {
      method,
      headers: { ...conditions, ...(body && { "Content-Type": "application/json" }) },
      body: body ?? null,
      cache: "no-store",
      keepalive: method !== "GET" && new Blob([body ?? ""]).size <= MAX_KEEPALIVE_BYTES,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const isMissing = response.status === 404 && method !== "POST";
    const { status } = response;
    if (response.ok || isConflict(status) || (isMissing && isProblem(response))) return response;
    if (isMissing || status >= 500 || RETRIED_STATUSES.includes(status)) {
      throw new Error(`The server answered with status ${status}.`);
    }
    throw await toError(response);
  }

  #setStatus(status: SyncStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.replica.onStatus(status);
  }
}

/** The key under which a browser notes what the server has acknowledged. */
export function noteKeyOf(key: string): string {
  return `${key}-server`;
}

/** Return the time of the acknowledged state, or that of a clear that the server has to follow. */
function readNote(noteKey: string): { acknowledged?: unknown; deletedAt?: number } {
  const note = parseJson(readItem(noteKey) ?? "");
  if (!isRecord(note)) return {};
  const { acknowledged, deletedAt } = note;
  return { acknowledged, ...(typeof deletedAt === "number" && { deletedAt }) };
}

function subscriptionUrl(url: string): string {
  const address = new URL(`${url}/subscribe`, window.location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

function isMessage(value: unknown): value is Message {
  return isRecord(value) && typeof value["version"] === "number" && "state" in value;
}

function isConflict(status: number): boolean {
  return status === 409 || status === 412;
}

/** Return whether the service itself has answered, not a proxy without the service. */
function isProblem(response: Response): boolean {
  return response.headers.get("Content-Type")?.startsWith("application/problem+json") ?? false;
}

function versionOf(response: Response): number | null {
  // Proxies that compress weaken the tag.
  const match = /^(?:W\/)?"(\d+)"$/.exec(response.headers.get("ETag") ?? "");
  return match ? Number(match[1]) : null;
}

async function toError(response: Response): Promise<PersistenceError> {
  const problem = parseJson(await response.text());
  const detail = isRecord(problem) && typeof problem["detail"] === "string" ? problem["detail"] : "";
  const message = `The server answered with status ${response.status}. ${detail}`.trim();
  if (response.status === 401 || response.status === 403) return new PersistenceError("refused", message);
  return new PersistenceError(response.status === 413 ? "too_large" : "invalid", message);
}

function ignore(): void {}
