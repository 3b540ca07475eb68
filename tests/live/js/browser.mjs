// As much of a browser as the modules need. Messages are held until a test delivers them.

export class FakeSocket {
  static all = [];
  sent = [];
  isClosed = false;

  constructor(url) {
    this.url = String(url);
    FakeSocket.all.push(this);
  }

  static get last() {
    return FakeSocket.all.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  /** Let the server accept the connection. */
  open() {
    this.onopen?.({});
  }

  deliver(...messages) {
    this.onmessage?.({ data: JSON.stringify(messages) });
  }

  lose(code = 1006) {
    this.onclose?.({ code });
  }
}

export class FakeStorage {
  items = new Map();
  isBroken = false;

  getItem(name) {
    if (this.isBroken) throw new Error("The storage is forbidden");
    return this.items.get(name) ?? null;
  }

  setItem(name, value) {
    if (this.isBroken) throw new Error("The storage is full");
    this.items.set(name, String(value));
  }

  removeItem(name) {
    this.items.delete(name);
  }
}

/** Put a new browser into the globals, and return it. */
export function openBrowser(context) {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const window = new EventTarget();
  const browser = {
    time: 1_000_000,
    reloads: 0,
    session: new FakeStorage(),
    local: new FakeStorage(),
    document: { hidden: false },
    listening: new Map(),
    /** Let time pass, in steps as small as those of timers. */
    pass(ms) {
      for (let left = ms; left > 0; left -= 50) {
        browser.time += Math.min(50, left);
        context.mock.timers.tick(Math.min(50, left));
      }
    },
    fire(name, members = {}) {
      const event = Object.assign(new Event(name, { cancelable: true }), members);
      window.dispatchEvent(event);
      return event;
    },
  };
  FakeSocket.all = [];
  const globals = {
    WebSocket: FakeSocket,
    document: browser.document,
    sessionStorage: browser.session,
    localStorage: browser.local,
    location: { href: "http://example/", reload: () => (browser.reloads += 1) },
    addEventListener: (...given) => window.addEventListener(...given),
    removeEventListener: (...given) => window.removeEventListener(...given),
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  context.mock.method(performance, "now", () => browser.time);
  return browser;
}

export const microtasks = async () => {
  for (let turn = 0; turn < 8; turn += 1) await null;
};
