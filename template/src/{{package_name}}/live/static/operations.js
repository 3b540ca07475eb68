/** Operations on plain JSON, as the server applies them. */

export const ITEMS = Symbol("items");
export const TAGGED = Symbol("tagged");
const PLAIN = [Object.prototype, Array.prototype, null];
const NOWHERE = "it leads to nothing: set it first";
const NO_NAMES = ["__proto__", "constructor", "prototype"];

export class Refused extends Error {
  constructor(code, message, path, found) {
    super(message);
    Object.assign(this, { name: "Refused", code, path, found });
  }
}

export function refuse(code, path, reason, found) {
  throw new Refused(code, `${path.join(".")}: ${reason}`, path, found);
}

export const { isArray } = Array;
export const isObject = (value) => typeof value === "object" && value !== null;
const isExact = (value) => (Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value));
const isTagged = (value) => value?.__type__ && Object.keys(value).join() === "__type__,value";
export const untag = (value) => (isTagged(value) ? untag(value.value) : value);
const retag = (old, value) => (isTagged(old) ? { ...old, value: retag(old.value, value) } : value);

export function checkName(name) {
  if (typeof name === "symbol" || NO_NAMES.includes(name)) {
    throw new TypeError(`${String(name)} cannot be a name`);
  }
}

export function toJson(value, depth = 0) {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return value.toWellFormed();
  if (isExact(value)) return value + 0; // JSON has no -0
  const copy = isArray(value) ? [] : {};
  if (depth > 200 || !isObject(value) || !PLAIN.includes(Object.getPrototypeOf(value))) {
    throw new TypeError(`A state cannot hold ${String(value)}: give plain JSON, less deep`);
  }
  for (const name of isArray(value) ? value.keys() : Object.keys(value)) {
    checkName(name);
    copy[name] = toJson(value[name], depth + 1);
  }
  return retag(value[TAGGED], copy);
}

export function equal(one, other) {
  if (one === other) return true;
  if (!isObject(one) || !isObject(other) || isArray(one) !== isArray(other)) return false;
  const names = Object.keys(one);
  const isSame = (name) => Object.hasOwn(other, name) && equal(one[name], other[name]);
  return names.length === Object.keys(other).length && names.every(isSame);
}

export function treesOf(shared) {
  const trees = {};
  for (const [name, { marks = {} }] of Object.entries(shared)) {
    trees[name] = {};
    for (const [pattern, mark] of Object.entries(marks)) {
      const [steps, cls = ""] = pattern.split(":").reverse();
      let node = (trees[name][cls] ??= {});
      for (const step of steps.split("/")) if (step) node = node[`/${step}`] ??= {};
      Object.assign(node, mark);
    }
  }
  return trees;
}

export function find(states, trees, path) {
  let [holder, key] = [states, path[0]];
  const classes = trees[key] ?? {};
  let outer;
  let mark = classes[""];
  for (const step of path.slice(1)) {
    let value = Object.hasOwn(holder, key) ? holder[key] : null;
    for (; isTagged(value); value = value.value) mark = classes[value.__type__];
    if (mark?.class) mark = classes[mark.class];
    const isStep = isArray(value) ? Number.isInteger(step) && step >= 0 : !NO_NAMES.includes(step);
    if (!isObject(value) || !isStep) refuse("not_found", path, NOWHERE);
    [holder, key, outer] = [value, step, mark ?? {}];
    mark = mark?.[`/${step}`] ?? mark?.["/*"];
  }
  return { holder, key, mark: mark ?? {}, outer };
}

/** Return the undo. */
export function apply(states, trees, { op, path, value, expect }, touch, isConfirmed) {
  const { holder, key, mark, outer } = find(states, trees, path);
  const isList = isArray(holder);
  const exists = Object.hasOwn(holder, key);
  const found = exists ? holder[key] : undefined;
  if (!isConfirmed && expect !== undefined && !(exists && equal(found, expect))) {
    refuse("conflict", path, "another value stands there: read it again", found);
  }
  const isMember = op === "append" || op === "remove";
  const list = isMember ? untag(found) : holder;
  const isThere = isMember ? isArray(list) : exists || !isList || (op === "insert" && key <= list.length);
  if (!isThere) refuse("not_found", path, NOWHERE);
  const write = (next) => (isList ? splice(list, key, 1, next, touch) : put(holder, key, next, touch));
  const add = (index, { keep, set }) => {
    if (!keep && !set) return splice(list, index, 0, [value], touch);
    const items = list.toSpliced(index, 0, value);
    const members = set ? [...new Set(items)].sort((one, other) => (one < other ? -1 : 1)) : items;
    return splice(list, 0, Infinity, members.slice(-keep), touch);
  };
  switch (op) {
    case "set":
      if (!isArray(value)) return write([value]);
      // The list that a page holds stays the same.
      if (isArray(found)) return splice(found, 0, Infinity, value.slice(-mark.keep), touch);
      return write([value.slice(-mark.keep)]);
    case "delete":
      return write([]);
    case "increment": {
      const sum = (found ?? 0) + value;
      if (!isExact(sum)) refuse("invalid_value", path, "it is not an exact number");
      return write([sum]);
    }
    case "append":
      return add(list.length, mark);
    case "insert":
      return isList ? add(key, outer) : write([value]);
    case "remove": {
      const index = list.findIndex((item) => equal(item, value));
      return splice(list, index, index < 0 ? 0 : 1, [], touch);
    }
  }
  return () => {};
}

/** `next` has a value or none. */
export function put(holder, key, next, touch) {
  const before = Object.hasOwn(holder, key) ? [holder[key]] : [];
  const order = next.length ? [] : Object.entries(holder);
  if (next.length) [holder[key]] = next;
  else delete holder[key];
  if (before[0] !== next[0]) touch(holder, key);
  if (before.length !== next.length) touch(holder, ITEMS);
  return () => {
    put(holder, key, before, touch);
    for (const [name, value] of order) {
      delete holder[name];
      holder[name] = value;
    }
  };
}

export function splice(list, start, count, items, touch) {
  const isWhole = count === Infinity;
  const removed = isWhole ? list.splice(0) : list.splice(start, count, ...items);
  if (isWhole) for (const item of items) list.push(item);
  touch(list, ITEMS);
  return () => splice(list, start, isWhole ? count : items.length, removed, touch);
}
