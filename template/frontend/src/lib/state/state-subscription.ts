import { Backoff } from "./backoff";
import { isRecord, parseJson } from "./definition";
import type { RemoteState } from "./state-client";

// A service that accepts a connection before it closes it can give a browser the reason.
const REFUSED_CODES: readonly number[] = [4401, 4403];

export interface SubscriptionListener {
  onState(remote: RemoteState): void;
  /** The connection is lost or was not made; a browser does not report whether it was refused. */
  onLost(wasOpen: boolean): void;
  onRefused(): void;
}

/** Receives the state on the server over a WebSocket, which is opened again when it is lost. */
export class StateSubscription {
  readonly #reconnecting = new Backoff(() => this.#connect());
  readonly #url: string;
  #socket: WebSocket | null = null;
  #isOpen = false;

  constructor(
    stateUrl: string,
    readonly listener: SubscriptionListener,
  ) {
    this.#url = `${stateUrl}/subscribe`;
  }

  open(): void {
    this.#isOpen = true;
    // StrictMode opens, closes and opens again: only the last one makes a connection.
    queueMicrotask(() => this.#connect());
  }

  close(): void {
    this.#isOpen = false;
    this.#reconnecting.reset();
    this.#disconnect();
  }

  reconnect(): void {
    this.#disconnect();
    this.#reconnecting.reset();
    this.#connect();
  }

  #connect(): void {
    if (!this.#isOpen || this.#socket) return;
    const address = new URL(this.#url, window.location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address.href);
    this.#socket = socket;
    let wasOpen = false;
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = typeof data === "string" ? parseJson(data) : undefined;
      if (this.#socket !== socket || !isRemoteState(message)) return;
      wasOpen = true;
      this.#reconnecting.reset();
      this.listener.onState(message);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (REFUSED_CODES.includes(code)) {
        this.listener.onRefused();
        return;
      }
      this.#reconnecting.schedule();
      this.listener.onLost(wasOpen);
    };
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

function isRemoteState(value: unknown): value is RemoteState {
  return isRecord(value) && typeof value["version"] === "number" && "state" in value;
}
