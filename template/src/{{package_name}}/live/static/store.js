/** States as proxies: reads are tracked, writes become entries. */

import {
  apply, checkName, equal, find, isArray, isObject, ITEMS, put, refuse, Refused, splice, TAGGED, toJson, treesOf, untag,
} from "./operations.js";

// Effects by object and key.
const readers = new WeakMap();
const due = new Set();
let running, block, isForeign, undone;

export function track(holder, key) {
  if (!running) return;
  let keys = readers.get(holder);
  if (!keys) readers.set(holder, (keys = new Map()));
  let found = keys.get(key);
  if (!found) keys.set(key, (found = new Set()));
  running.sources.add(found.add(running));
}

export function touch(holder, key, isOwn = !isForeign) {
  undone?.push([holder, key]);
  for (const effect of readers.get(holder)?.get(key) ?? []) {
    if (effect === running) continue;
    effect.notify?.(isOwn);
    if (!due.size) queueMicrotask(flush);
    due.add(effect);
  }
}

function flush() {
  for (const effect of due) {
    due.delete(effect);
    try {
      effect.refresh();
    } catch (error) {
      console.error(error);
    }
  }
}

export function effect(run, notify) {
  const effect = { notify, refresh, sources: new Set() };
  function refresh() {
    const outer = running;
    const before = effect.sources;
    effect.sources = new Set();
    running = effect;
    try {
      run();
    } finally {
      running = outer;
      for (const each of before) if (!effect.sources.has(each)) each.delete(effect);
    }
  }
  refresh();
  return () => {
    for (const each of effect.sources) each.delete(effect);
    due.delete(effect);
  };
}

const metas = new WeakMap();
const raws = new WeakMap();
// The numbers that this turn has read.
const numbers = new Map();

function wrap(store, value, parent, key) {
  const raw = untag(value);
  if (!isObject(raw)) return raw;
  let meta = metas.get(raw);
  if (!meta) {
    metas.set(raw, (meta = { store, proxy: new Proxy(raw, handler) }));
    raws.set(meta.proxy, raw);
  }
  Object.assign(meta, { value, parent, key });
  return meta.proxy;
}

const handler = {
  get(raw, key) {
    if (key === TAGGED) return metas.get(raw).value;
    const isList = isArray(raw);
    if (isList && Object.hasOwn(listMethods, key)) return listMethods[key];
    track(raw, isList ? ITEMS : key);
    const value = raw[key];
    if (isObject(value) && Object.hasOwn(raw, key)) return wrap(metas.get(raw).store, value, raw, key);
    if (typeof value === "number" && !running) {
      if (!numbers.size) queueMicrotask(() => numbers.clear());
      if (!numbers.has(raw)) numbers.set(raw, new Set());
      numbers.get(raw).add(key);
    }
    return value;
  },
  has: (raw, key) => (track(raw, ITEMS), Reflect.has(raw, key)),
  ownKeys: (raw) => (track(raw, ITEMS), Reflect.ownKeys(raw)),
  set(raw, key, value) {
    const json = toJson(value);
    const isList = isArray(raw);
    if (isList && key === "length" && json <= raw.length) {
      exchange(raw, json, raw.length - json, []);
    } else if (isList && key === String(raw.length)) {
      write(raw, pathTo(raw), "append", json);
    } else assign(raw, toKey(raw, key), json, numbers.get(raw)?.has(key));
    return true;
  },
  deleteProperty(raw, key) {
    if (!isArray(raw) && Object.hasOwn(raw, key)) write(raw, pathTo(raw, key), "delete");
    return !isArray(raw);
  },
  defineProperty: () => false,
  setPrototypeOf: () => false,
  preventExtensions: () => false,
};

function assign(raw, key, value, wasRead) {
  const path = pathTo(raw, key);
  const before = Object.hasOwn(raw, key) ? raw[key] : 0;
  const areNumbers = typeof value === "number" && typeof before === "number";
  const { states, trees } = metas.get(raw).store;
  if (areNumbers && find(states, trees, path).mark.counter) {
    if (value !== before) write(raw, path, "increment", value - before);
  } else {
    // It may be a sum with the one before.
    write(raw, path, "set", value, areNumbers && wasRead ? before : undefined);
  }
}

function toKey(raw, key) {
  checkName(key);
  if (!isArray(raw)) return key;
  if (key !== "length" && Object.hasOwn(raw, key)) return Number(key);
  throw new TypeError(`${key} is not an index of the list`);
}

function pathTo(raw, ...steps) {
  const meta = metas.get(raw);
  const { parent, store } = meta;
  const isHere = (key) => untag(parent[key]) === raw;
  if (!isHere(meta.key)) meta.key = Object.keys(parent).find(isHere);
  if (meta.key === undefined) refuse("not_found", steps, "removed: read it again");
  const path = [isArray(parent) ? Number(meta.key) : meta.key, ...steps];
  return parent === store.states ? path : pathTo(parent, ...path);
}

function write(raw, path, op, value, expect) {
  const { store } = metas.get(raw);
  change(() => {
    let holder = store.states;
    for (const [index, step] of store.commit ? path.entries() : []) {
      const item = untag(holder[step]);
      const isGuarded = index === path.length - 1 && (op === "insert" || expect !== undefined);
      if (isArray(holder) && !isGuarded) {
        const at = path.slice(0, index + 1);
        const id = isObject(item?.id) ? undefined : item?.id;
        if (id === undefined) store.apply({ op: "test", path: at, expect: toJson(holder[step]) });
        else store.apply({ op: "test", path: [...at, "id"], expect: id });
      }
      holder = item;
    }
    store.apply({ op, path, value, expect });
  });
}

function exchange(list, start, count, values) {
  const removed = toJson(list.slice(start, start + count));
  const added = toJson(values);
  change(() => {
    const isEmptied = count > 1 && count === list.length && !values.length;
    if (isEmptied) write(list, pathTo(list), "set", []);
    else for (const item of removed) write(list, pathTo(list, start), "delete", undefined, item);
    const isEnd = start === list.length;
    for (const [index, item] of added.entries()) {
      if (isEnd) write(list, pathTo(list), "append", item);
      else write(list, pathTo(list, start + index), "insert", item);
    }
  });
  return removed;
}

const listMethods = {
  push(...values) {
    this.splice(this.length, 0, ...values);
    return this.length;
  },
  unshift(...values) {
    this.splice(0, 0, ...values);
    return this.length;
  },
  pop() {
    return this.splice(-1, 1)[0];
  },
  shift() {
    return this.splice(0, 1)[0];
  },
  splice(...given) {
    const list = raws.get(this);
    // An array reads start and count.
    const indices = [...list.keys()];
    const start = indices.slice(0, given[0] ?? 0).length;
    const count = indices.splice.apply(indices, given.slice(0, 2)).length;
    return exchange(list, start, count, given.slice(2));
  },
};
for (const name of ["sort", "reverse", "fill"]) {
  listMethods[name] = function (...given) {
    const list = raws.get(this);
    const items = this.slice();
    items[name](...given);
    const value = name !== "fill" ? items.map((item) => item?.[TAGGED] ?? item) : toJson(items);
    write(list, pathTo(list), "set", value, toJson(list));
    return this;
  };
}

/** All writes are one entry. */
export function change(run) {
  const outer = block;
  const changes = (block ??= []);
  const mark = changes.length;
  try {
    const result = run();
    const shared = changes.filter(({ store }) => store.commit);
    if (!outer) shared[0]?.store.commit(shared);
    return result;
  } catch (error) {
    for (const { undo } of changes.splice(mark).reverse()) undo();
    throw error;
  } finally {
    block = outer;
  }
}

function writeAt(of, key, op, value) {
  const raw = raws.get(of);
  if (!raw) throw new TypeError("Expected a part of a state");
  write(raw, pathTo(raw, toKey(raw, key)), op, toJson(value));
}

export const increment = (of, key, by = 1) => writeAt(of, key, "increment", by);
export const replace = (of, key, value) => writeAt(of, key, "set", value);
export const remove = (list, value) => write(raws.get(list), pathTo(raws.get(list)), "remove", toJson(value));
export const snapshot = (of) => (raws.has(of) ? JSON.parse(JSON.stringify(of)) : of);

export class Store {
  constructor(states, shared = {}) {
    this.states = states;
    this.trees = treesOf(shared);
    this.proxies = {};
    for (const name of Object.keys(states)) this.proxies[name] = wrap(this, states[name], states, name);
    Object.freeze(this.proxies);
  }

  apply(operation) {
    block.push({ store: this, operation, undo: apply(this.states, this.trees, operation, touch) });
  }
}

export class Replica extends Store {
  pending = [];
  position = { epoch: null, seq: 0 };
  client = "";
  number = 0;
  limits = { frame: 65536, pending: 128, rate: 200, burst: 1000, operations: 1000 };
  onPending() {}
  onRefused(refused) {}

  constructor(shared) {
    const states = {};
    for (const name of Object.keys(shared)) states[name] = {};
    super(states, shared);
  }

  commit(changes) {
    const operations = changes.map((each) => each.operation);
    const undo = changes.map((each) => each.undo);
    const entry = this.#findToMerge(operations);
    const last = operations.at(-1);
    if (entry) {
      const before = entry.operations.at(-1);
      const value = last.op === "set" ? last.value : before.value + last.value;
      operations.splice(0, Infinity, ...entry.operations.slice(0, -1), { ...before, value });
    }
    const number = entry?.number ?? this.number + 1;
    const text = JSON.stringify({ type: "do", id: number, do: operations });
    const size = new Blob([text]).size;
    if (size > this.limits.frame || operations.length > this.limits.operations) {
      refuse("too_large", last.path, "it is over the limit: write it in parts");
    }
    const waiting = this.pending.filter((each) => each !== entry && !each.isSent);
    const sum = waiting.reduce((sum, each) => sum + each.size, size);
    if (waiting.length >= 1000 || sum > 256 * 1024) {
      refuse("too_many_pending", last.path, "too many wait: write again later");
    }
    if (entry) Object.assign(entry, { operations, text, size });
    else this.pending.push({ number, operations, text, size, undo, isSent: false, wasSent: false });
    this.number = Math.max(this.number, number);
    this.onPending();
  }

  #findToMerge(operations) {
    const next = changeOf(operations);
    for (const entry of next ? this.pending.toReversed() : []) {
      const last = entry.wasSent || !entry.undo ? null : changeOf(entry.operations);
      if (last?.op === next.op && equal(last.path, next.path)) return entry;
      if (!last || entry.operations.some((each) => meet(each, next))) break;
    }
  }

  #hide() {
    for (const entry of this.pending.toReversed()) {
      undone = entry.undone = [];
      for (const undo of entry.undo?.reverse() ?? []) undo();
      entry.undo = undone = null;
    }
  }

  #show() {
    for (const entry of this.pending) {
      const undo = [];
      try {
        for (const each of entry.operations) undo.push(apply(this.states, this.trees, each, touch));
        entry.undo = undo;
      } catch {
        for (const each of undo.reverse()) each();
        // An input with the focus must not keep it.
        for (const each of entry.undone) touch(...each, true);
      }
    }
  }

  hello() {
    for (const each of this.pending) each.isSent = false;
    const pending = this.pending.filter((each) => each.wasSent).map((each) => each.number);
    return { type: "hello", v: 1, ...this.position, pending };
  }

  get next() {
    return this.pending.slice(0, this.limits.pending).find((each) => !each.isSent);
  }

  // False if messages were missed.
  receive(message) {
    const { type, id, seq } = message;
    const isOwn = id === `${this.client}:${this.pending[0]?.number}`;
    if (type === "tick") return seq <= this.position.seq;
    isForeign = !isOwn && type !== "refused";
    const isFresh = type !== "sync" || this.#receiveEntry(message, isOwn);
    if (type === "snapshot" || type === "resume") this.#synchronize(message);
    if (type === "done" || type === "refused") this.#settle({ [id]: message.code ? message : seq });
    isForeign = false;
    return isFresh;
  }

  #receiveEntry({ seq, do: confirmed }, isOwn) {
    if (seq <= this.position.seq || !this.position.epoch) return true;
    if (seq > this.position.seq + 1) return false;
    this.position.seq = seq;
    const [first] = this.pending;
    if (isOwn && first.undo && first.text.endsWith(`"do":${JSON.stringify(confirmed)}}`)) {
      this.pending.shift();
    } else {
      this.#hide();
      if (isOwn) keepObjects(this.pending.shift().operations, confirmed);
      try {
        for (const each of confirmed) apply(this.states, this.trees, each, touch, true);
      } catch (error) {
        console.warn("The states are loaded again", error);
        this.position = { epoch: null, seq: 0 };
      }
      this.#show();
    }
    if (isOwn) this.onPending();
    return Boolean(this.position.epoch);
  }

  #synchronize({ type, epoch, seq, states, last, outcomes, limits, client }) {
    Object.assign(this.limits, limits);
    this.client = client;
    this.number = Math.max(this.number, last);
    const answers = {};
    for (const entry of this.pending) {
      const code = outcomes[entry.number] ?? (entry.number <= last ? "outcome_unknown" : null);
      if (code === null) continue;
      entry.isSent = entry.wasSent = true;
      const isRefused = typeof code === "string";
      answers[entry.number] = isRefused ? { code, message: "It was refused before" } : code;
    }
    if (type === "snapshot") {
      this.#hide();
      for (const name of Object.keys(this.states)) become(this.states[name], states[name]);
      this.position = { epoch, seq };
      this.#show();
    }
    this.#settle(answers);
  }

  #settle(answers) {
    const isSettled = ({ number }) => answers[number]?.code || answers[number] <= this.position.seq;
    const settled = this.pending.filter(isSettled);
    if (!settled.length) return;
    this.#hide();
    this.pending = this.pending.filter((each) => !isSettled(each));
    this.#show();
    this.onPending();
    for (const { number } of settled) {
      const { code, message, path, found } = answers[number];
      if (code) this.onRefused(new Refused(code, message, path, found));
    }
  }
}

function changeOf(operations) {
  const last = operations.at(-1);
  const isAlone = operations.every((each) => each === last || each.op === "test");
  return isAlone && (last.op === "set" || last.op === "increment") ? last : null;
}

const meet = ({ path: one }, { path: other }) =>
  one.every((step, index) => index >= other.length || step === other[index]);

function keepObjects(own, confirmed) {
  for (const each of confirmed) {
    const index = own.findIndex(({ op, path }) => op === each.op && equal(path, each.path));
    if (index >= 0) each.value = become(own.splice(index, 1)[0].value, each.value);
  }
}

/** Equal parts of the old value stay. */
export function become(old, value) {
  if (!isObject(old) || !isObject(value) || isArray(old) !== isArray(value)) return value;
  if (isArray(old)) {
    const items = keepItems(old, value);
    const isSame = items.length === old.length && items.every((item, index) => item === old[index]);
    if (!isSame) splice(old, 0, Infinity, items, touch);
    return old;
  }
  const before = { ...old };
  const isMoved = !equal(Object.keys(old), Object.keys(value));
  if (isMoved) for (const name of Object.keys(old)) put(old, name, [], touch);
  for (const name of Object.keys(value)) put(old, name, [become(before[name], value[name])], touch);
  return old;
}

function keepItems(old, values) {
  const keyOf = (item) => untag(item)?.id ?? JSON.stringify(item);
  const known = new Map(old.map((item) => [keyOf(item), item]));
  return values.map((item) => {
    const key = keyOf(item);
    const found = known.get(key);
    known.delete(key);
    return become(found, item);
  });
}
