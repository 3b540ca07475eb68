/** Messages between the tabs of one browser. */
import { isRecord } from "./definition";
import { BROADCAST_CHANNEL_NAME } from "./storage-keys";

export type TabMessage =
  { key: string; kind: "saved"; state: unknown } | { key: string; kind: "cleared"; at: number };

/** A text in localStorage that another tab has replaced or, with null, removed. */
export interface ItemChange {
  before: string | null;
  after: string | null;
}

export interface TabListener {
  onMessage(message: TabMessage): void;
  /** Called only in browsers without BroadcastChannel. */
  onItemChange(change: ItemChange): void;
}

/** Receives the messages about one storage key. */
export class TabChannel {
  #channel: BroadcastChannel | null = null;
  #isOpen = false;

  constructor(
    readonly key: string,
    readonly listener: TabListener,
  ) {}

  open(): void {
    this.#isOpen = true;
    if (typeof BroadcastChannel === "undefined") {
      window.addEventListener("storage", this.#onStorage);
      return;
    }
    this.#channel = new BroadcastChannel(BROADCAST_CHANNEL_NAME);
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isTabMessage(data) && data.key === this.key) this.listener.onMessage(data);
    };
  }

  close(): void {
    this.#isOpen = false;
    this.#channel?.close();
    this.#channel = null;
    window.removeEventListener("storage", this.#onStorage);
  }

  /** Send a message to the other tabs, which need not wait for this one to be open. */
  post(message: TabMessage): void {
    if (this.#channel) this.#channel.postMessage(message);
    else if (!this.#isOpen) postOnce(message);
  }

  readonly #onStorage = ({ key, oldValue, newValue }: StorageEvent): void => {
    // The key is null if the whole storage was emptied.
    if (key === this.key || key === null)
      this.listener.onItemChange({ before: oldValue, after: newValue });
  };
}

/** Send a message without receiving any. */
export function postOnce(message: TabMessage): void {
  if (typeof BroadcastChannel === "undefined") return;
  const channel = new BroadcastChannel(BROADCAST_CHANNEL_NAME);
  channel.postMessage(message);
  channel.close();
}

function isTabMessage(data: unknown): data is TabMessage {
  if (!isRecord(data) || typeof data["key"] !== "string") return false;
  const { kind } = data;
  return kind === "saved" || (kind === "cleared" && typeof data["at"] === "number");
}
