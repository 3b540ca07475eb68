/** The line to the server. */

const TICK = 15_000;
const IDENTITY = "live:identity";
const RELOADED = "live:reloaded";

export class Connection extends EventTarget {
  status = "connecting";
  visitors = [];
  by = null;
  #replica;
  #url;
  #identity = takeIdentity();
  #socket;
  #presence;
  #loaded;
  #retry;
  #sender;
  #isDue = false;
  #attempts = 0;
  #heard = 0;
  #pausedUntil = 0;
  #tokens = Infinity;
  #filled = 0;

  constructor(replica, url) {
    super();
    this.#replica = replica;
    this.#url = url;
    this.ready = new Promise((resolve) => (this.#loaded = resolve));
    replica.number = this.#identity.number;
    replica.onPending = () => this.#schedule();
    for (const name of ["online", "pageshow", "visibilitychange"]) {
      // Two ticks may come late, but not three.
      addEventListener(name, () => document.hidden || this.#wake(1.5));
    }
    setInterval(() => this.#socket && this.#wake(3), TICK);
    addEventListener("offline", () => this.#socket && this.#lose());
    addEventListener("pagehide", (event) => this.#leave(event));
  }

  get pending() {
    return this.#replica.pending.length;
  }

  async settled() {
    while (this.pending) {
      await new Promise((resolve) => this.addEventListener("pending", resolve, { once: true }));
    }
  }

  present(value) {
    const text = JSON.stringify(value);
    if (!/^({|null$)/.test(text) || new Blob([text]).size > 1024) {
      throw new TypeError("Expected an object of at most 1 KiB, or null");
    }
    this.#presence = `{"type":"presence","value":${text}}`;
    if (this.status === "online") this.#socket.send(this.#presence);
  }

  open() {
    this.#drop();
    this.#heard = performance.now();
    const socket = (this.#socket = new WebSocket(this.#url));
    socket.onopen = () => {
      this.visitors = [];
      socket.send(JSON.stringify({ ...this.#replica.hello(), secret: this.#identity.secret }));
    };
    socket.onmessage = ({ data }) => {
      this.#heard = performance.now();
      for (const message of JSON.parse(data)) if (socket === this.#socket) this.#receive(message);
      this.#flush();
    };
    socket.onclose = ({ code }) => socket === this.#socket && this.#lose(code);
  }

  #receive(message) {
    const { type, code, id, changed, gone } = message;
    if (type === "visitors") {
      const old = [...gone, ...changed.map((each) => each.id)];
      this.visitors = this.visitors.filter((each) => !old.includes(each.id)).concat(changed);
      this.#dispatch("visitors");
    } else if (code === "rate_limited" || code === "too_many_pending") {
      for (const each of this.#replica.pending) each.isSent &&= each.number < id;
      this.#pausedUntil = performance.now() + 1000 * (message.retry_after ?? 1);
    } else if (!this.#replica.receive(message)) {
      this.#lose();
    } else if (this.status !== "online" && (type === "snapshot" || type === "resume")) {
      this.by = message.by ?? this.by;
      this.#attempts = 0;
      inStorage((storage) => storage.removeItem(RELOADED));
      if (this.#presence) this.#socket.send(this.#presence);
      this.#show("online");
      this.#loaded();
    }
  }

  #schedule() {
    this.#dispatch("pending");
    if (!this.#isDue) queueMicrotask(() => this.#flush());
    this.#isDue = true;
  }

  #flush() {
    this.#isDue = false;
    clearTimeout(this.#sender);
    const { rate, burst } = this.#replica.limits;
    // Clocks differ.
    const perMs = (0.95 * rate) / 1000;
    for (let entry; this.status === "online" && (entry = this.#replica.next); ) {
      const now = performance.now();
      this.#tokens = Math.min(burst, this.#tokens + (now - this.#filled) * perMs);
      this.#filled = now;
      const cost = entry.operations.length;
      const wait = Math.max(this.#pausedUntil - now, (cost - this.#tokens) / perMs);
      if (wait > 0) {
        this.#sender = setTimeout(() => this.#flush(), wait);
        return;
      }
      this.#tokens -= cost;
      entry.isSent = entry.wasSent = true;
      this.#socket.send(entry.text);
    }
  }

  #show(status) {
    if (status === this.status) return;
    this.status = status;
    this.#dispatch("status");
  }

  #dispatch(name) {
    (this.pending ? addEventListener : removeEventListener)("beforeunload", ask);
    this.dispatchEvent(new Event(name));
  }

  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#sender);
    this.#socket?.close();
    this.#socket = null;
  }

  #lose(code) {
    this.#drop();
    if (code === 4426 && inStorage(reloadOnce)) return;
    if ([4401, 4403, 4409, 4426].includes(code)) return this.#show("refused");
    this.#show("offline");
    const delay = Math.min(250 * 2 ** this.#attempts, 30_000);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.open(), delay * (1 - Math.random() / 2));
  }

  #wake(ticks) {
    const isAlive = this.#socket && performance.now() - this.#heard <= ticks * TICK;
    if (isAlive || this.status === "refused") return;
    this.#show("offline");
    this.#attempts = 0;
    this.open();
  }

  #leave({ persisted }) {
    const identity = JSON.stringify({ ...this.#identity, number: this.#replica.number });
    // For a reload.
    if (!persisted) inStorage((storage) => storage.setItem(IDENTITY, identity));
    this.#drop();
    if (this.status === "online") this.#show("offline");
  }
}

const ask = (event) => event.preventDefault();

function inStorage(use) {
  try {
    return use(sessionStorage);
  } catch {}
}

function reloadOnce(storage) {
  const isFirst = !storage.getItem(RELOADED);
  storage.setItem(RELOADED, "1");
  if (isFirst) location.reload();
  return isFirst;
}

// Copies of the tab must not find it.
function takeIdentity() {
  const saved = inStorage((storage) => {
    const text = storage.getItem(IDENTITY);
    storage.removeItem(IDENTITY);
    return JSON.parse(text);
  });
  const secret = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(24))));
  return saved ?? { secret, number: 0 };
}
