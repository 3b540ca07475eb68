import assert from "node:assert/strict";
import { test } from "node:test";

import { apply, equal, Refused, toJson, treesOf } from "./static.mjs";

const quiet = () => {};

function changed(value, operation, marks = {}) {
  const states = { s: structuredClone(value) };
  const undo = apply(states, treesOf({ s: { marks } }), { ...operation, path: ["s", ...operation.path] }, quiet);
  const after = structuredClone(states.s);
  undo();
  assert.equal(JSON.stringify(states.s), JSON.stringify(value));
  return after;
}

const refusal = (code) => (error) => error instanceof Refused && error.code === code;

test("each operation has its effect, and can be taken back", () => {
  const value = { n: 1, list: ["a", "b"], of: { x: 1, y: 2 } };
  const cases = [
    [{ op: "set", path: ["n"], value: 2 }, { n: 2 }],
    [{ op: "set", path: ["of", "z"], value: 3 }, { of: { x: 1, y: 2, z: 3 } }],
    [{ op: "set", path: ["list", 1], value: "c" }, { list: ["a", "c"] }],
    [{ op: "set", path: ["list"], value: ["c"] }, { list: ["c"] }],
    [{ op: "delete", path: ["of", "x"] }, { of: { y: 2 } }],
    [{ op: "delete", path: ["of", "none"] }, {}],
    [{ op: "delete", path: ["of", "y"] }, { of: { x: 1 } }],
    [{ op: "delete", path: ["list", 0] }, { list: ["b"] }],
    [{ op: "increment", path: ["n"], value: 2 }, { n: 3 }],
    [{ op: "increment", path: ["of", "z"], value: 2 }, { of: { x: 1, y: 2, z: 2 } }],
    [{ op: "append", path: ["list"], value: "c" }, { list: ["a", "b", "c"] }],
    [{ op: "insert", path: ["list", 2], value: "c" }, { list: ["a", "b", "c"] }],
    [{ op: "insert", path: ["list", 0], value: "c" }, { list: ["c", "a", "b"] }],
    [{ op: "remove", path: ["list"], value: "a" }, { list: ["b"] }],
    [{ op: "remove", path: ["list"], value: "none" }, {}],
    [{ op: "test", path: ["list", 0], expect: "a" }, {}],
  ];
  for (const [operation, effect] of cases) {
    assert.deepEqual(changed(value, operation), { ...value, ...effect });
  }
});

test("a key is inserted at any place, and the next snapshot brings the right one", () => {
  const after = changed({ of: { x: 1 } }, { op: "insert", path: ["of", "z"], value: 3, at: 0 });
  assert.deepEqual(after.of, { x: 1, z: 3 });
});

test("a place that is not there is refused, never moved to one that is", () => {
  const value = { n: 1, list: ["a"] };
  const refused = [
    ["not_found", { op: "insert", path: ["list", 2], value: "b" }],
    ["not_found", { op: "set", path: ["list", 1], value: "b" }],
    ["not_found", { op: "delete", path: ["list", 1] }],
    ["not_found", { op: "append", path: ["none"], value: "b" }],
    ["not_found", { op: "set", path: ["none", "x"], value: 1 }],
    ["not_found", { op: "set", path: ["n", "x"], value: 1 }],
    ["not_found", { op: "set", path: ["list", "x"], value: 1 }],
    ["not_found", { op: "set", path: ["list", -1], value: 1 }],
    ["not_found", { op: "set", path: ["__proto__"], value: {} }],
    ["not_found", { op: "append", path: ["n"], value: 1 }],
    ["invalid_value", { op: "increment", path: ["list"], value: 1 }],
    ["invalid_value", { op: "increment", path: ["n"], value: 2 ** 53 }],
    ["conflict", { op: "set", path: ["n"], value: 2, expect: 2 }],
    ["conflict", { op: "test", path: ["none"], expect: 2 }],
  ];
  for (const [code, operation] of refused) {
    assert.throws(() => changed(value, operation), refusal(code), JSON.stringify(operation));
  }
  assert.throws(() => changed({ list: [1] }, { op: "test", path: ["list", 0], expect: 2 }), { found: 1 });
});

test("a confirmed operation needs no guard", () => {
  const states = { s: { n: 1 } };
  apply(states, {}, { op: "set", path: ["s", "n"], value: 2, expect: 9 }, quiet, true);
  assert.equal(states.s.n, 2);
});

test("a list keeps its last elements, as on the server", () => {
  const marks = { list: { keep: 2 }, "rooms/*/lines": { keep: 1 } };
  const value = { list: ["a", "b"], rooms: { one: { lines: ["x"] } } };
  const list = (operation) => changed(value, operation, marks).list;
  assert.deepEqual(list({ op: "append", path: ["list"], value: "c" }), ["b", "c"]);
  assert.deepEqual(list({ op: "insert", path: ["list", 1], value: "c" }), ["c", "b"]);
  assert.deepEqual(list({ op: "insert", path: ["list", 0], value: "c" }), ["a", "b"]);
  assert.deepEqual(list({ op: "set", path: ["list"], value: ["c", "d", "e"] }), ["d", "e"]);
  const rooms = changed(value, { op: "append", path: ["rooms", "one", "lines"], value: "y" }, marks);
  assert.deepEqual(rooms.rooms.one.lines, ["y"]);
});

test("a set has each member once, in one order", () => {
  const marks = { tags: { set: true } };
  const tags = (value) => changed({ tags: ["a", "c"] }, { op: "append", path: ["tags"], value }, marks).tags;
  assert.deepEqual(tags("b"), ["a", "b", "c"]);
  assert.deepEqual(tags("c"), ["a", "c"]);
  assert.deepEqual(tags("d"), ["a", "c", "d"]);
});

test("marks are found in classes and through the tags of unions", () => {
  const marks = {
    root: { class: "Node" },
    "Node:children/*": { class: "Node" },
    "Node:last": { keep: 1 },
  };
  const leaf = { children: [], last: ["x"] };
  const nested = { root: { children: [leaf], last: [] } };
  const appended = (value, path) => changed(value, { op: "append", path, value: "y" }, marks);
  const { root } = appended(nested, ["root", "children", 0, "last"]);
  assert.deepEqual(root.children[0].last, ["y"]);
  const { choice } = appended({ choice: { __type__: "Node", value: leaf } }, ["choice", "last"]);
  assert.deepEqual(choice, { __type__: "Node", value: { children: [], last: ["y"] } });
});

test("values are compared as JSON", () => {
  assert.ok(equal({ a: [1, { b: null }], c: 1 }, { c: 1, a: [1, { b: null }] }));
  for (const [one, other] of [[1, true], [[], {}], [{ a: 1 }, { b: 1 }], [null, {}], [[1], [1, 2]]]) {
    assert.ok(!equal(one, other));
  }
});

test("only plain JSON becomes a part of a state", () => {
  class Point {}
  const cycle = {};
  cycle.self = cycle;
  const wrong = [
    NaN, Infinity, 2 ** 53, undefined, () => 1, new Date(), new Map(), new Point(), Symbol("x"), 1n,
    [1, , 2], [undefined], { a: undefined }, cycle, JSON.parse('{"__proto__": 1}'), { constructor: 1 },
  ];
  for (const value of wrong) assert.throws(() => toJson(value), TypeError);
  const right = { a: [1, -1.5, "x", null, true], b: Object.assign(Object.create(null), { c: {} }) };
  assert.deepEqual(toJson(right), { a: [1, -1.5, "x", null, true], b: { c: {} } });
  assert.ok(Object.is(toJson(-0), 0));
  assert.equal(toJson("\ud800"), "\ufffd");
});
