import assert from "node:assert/strict";
import { test } from "node:test";

import { microtasks } from "./browser.mjs";
import { Line, refusal, snapshotMessage, VALUES } from "./line.mjs";
import { change, effect, increment, remove, replace, Replica, snapshot, Store } from "./static.mjs";

test("writes become operations", () => {
  const cases = [
    [(game) => (game.name = "y"), { op: "set", path: "name", value: "y" }],
    [(game) => (game.of.y = [1]), { op: "set", path: "of/y", value: [1] }],
    [(game) => delete game.of.x, { op: "delete", path: "of/x" }],
    [(game) => (game.score += 2), { op: "increment", path: "score", value: 2 }],
    [(game) => (game.scores.me = 2), { op: "increment", path: "scores/me", value: 2 }],
    [(game) => (game.plain = 2), { op: "set", path: "plain", value: 2 }],
    [(game) => (game.plain += 2), { op: "set", path: "plain", value: 2, expect: 0 }],
    [(game) => game.tags.push("d"), { op: "append", path: "tags", value: "d" }],
    [(game) => (game.tags[3] = "d"), { op: "append", path: "tags", value: "d" }],
    [(game) => game.tags.pop(), { op: "delete", path: "tags/2", expect: "c" }],
    [(game) => game.tags.shift(), { op: "delete", path: "tags/0", expect: "a" }],
    [(game) => game.tags.unshift("d"), { op: "insert", path: "tags/0", value: "d" }],
    [(game) => (game.tags.length = 2), { op: "delete", path: "tags/2", expect: "c" }],
    [(game) => (game.tags.length = 0), { op: "set", path: "tags", value: [] }],
    [(game) => game.tags.splice(0), { op: "set", path: "tags", value: [] }],
    [(game) => game.tags.splice(1, 0, "d"), { op: "insert", path: "tags/1", value: "d" }],
    [
      (game) => game.tags.splice(-2, 1, "d"),
      { op: "delete", path: "tags/1", expect: "b" },
      { op: "insert", path: "tags/1", value: "d" },
    ],
    [
      (game) => game.tags.push("d", "e"),
      { op: "append", path: "tags", value: "d" },
      { op: "append", path: "tags", value: "e" },
    ],
    [
      (game) => game.tags.reverse(),
      { op: "set", path: "tags", value: ["c", "b", "a"], expect: ["a", "b", "c"] },
    ],
    [
      (game) => game.tags.sort((one, other) => (one < other ? 1 : -1)),
      { op: "set", path: "tags", value: ["c", "b", "a"], expect: ["a", "b", "c"] },
    ],
    [
      (game) => game.tags.fill("x", 1),
      { op: "set", path: "tags", value: ["a", "x", "x"], expect: ["a", "b", "c"] },
    ],
    [
      (game) => (game.todos[1].text = "x"),
      { op: "test", path: "todos/1/id", expect: 2 },
      { op: "set", path: "todos/1/text", value: "x" },
    ],
    [
      (game) => (game.todos[1].votes += 1),
      { op: "test", path: "todos/1/id", expect: 2 },
      { op: "increment", path: "todos/1/votes", value: 1 },
    ],
    [
      (game) => (game.plainRows[1].n = 3),
      { op: "test", path: "plainRows/1", expect: { n: 2 } },
      { op: "set", path: "plainRows/1/n", value: 3 },
    ],
    [
      (game) => game.rows[1].push(3),
      { op: "test", path: "rows/1", expect: [2] },
      { op: "append", path: "rows/1", value: 3 },
    ],
    [
      (game) => (game.tags[1] = "x"),
      { op: "test", path: "tags/1", expect: "b" },
      { op: "set", path: "tags/1", value: "x" },
    ],
    [(game) => increment(game, "plain"), { op: "increment", path: "plain", value: 1 }],
    [(game) => replace(game, "score", 5), { op: "set", path: "score", value: 5 }],
    [(game) => remove(game.tags, "b"), { op: "remove", path: "tags", value: "b" }],
  ];
  for (const [write, ...operations] of cases) {
    const line = new Line();
    write(line.game);
    assert.deepEqual(line.written, [operations], String(write));
    line.refuse();
    assert.deepEqual(snapshot(line.game), VALUES, `${write} was not taken back`);
  }
});

test("methods of lists return the values that those of arrays return", () => {
  const calls = [
    (list) => list.push("d"), (list) => list.push(), (list) => list.pop(), (list) => list.shift(),
    (list) => list.unshift("x", "y"), (list) => list.splice(1), (list) => list.splice(), (list) => list.splice(1, 1, "x"),
    (list) => list.splice(-1, 5), (list) => list.splice(9, 1, "z"), (list) => list.splice(-9, 1),
    (list) => list.splice(1, -1), (list) => list.splice(undefined, 1), (list) => list.indexOf("b"),
    (list) => list.includes("c"), (list) => list.map((each) => each + each), (list) => list.join(),
    (list) => list.slice(1), (list) => [...list], (list) => list.at(-1), (list) => list.concat(["d"]),
    (list) => list.sort().length, (list) => JSON.stringify(list), (list) => Array.isArray(list),
    (list) => list.fill("x", -1).length, (list) => Object.keys(list), (list) => 1 in list,
  ];
  for (const call of calls) {
    const line = new Line();
    const plain = [...VALUES.tags];
    assert.deepEqual(call(line.game.tags), call(plain), String(call));
    assert.deepEqual(snapshot(line.game.tags), plain, String(call));
  }
  const empty = new Line({ ...VALUES, tags: [] });
  assert.equal(empty.game.tags.pop(), undefined);
  assert.equal(empty.game.tags.shift(), undefined);
  assert.deepEqual(empty.written, []);
});

test("there is one proxy for each object", () => {
  const { game } = new Line();
  assert.equal(game.todos[0], game.todos[0]);
  assert.equal(game.todos.find((todo) => todo.id === 2), game.todos[1]);
  assert.equal(game.todos.indexOf(game.todos[1]), 1);
  game.todos.filter((todo) => todo.id === 2)[0].text = "found";
  assert.equal(game.todos[1].text, "found");
  assert.deepEqual({ ...game.of }, { x: 1 });
  assert.deepEqual(Object.entries(game.of), [["x", 1]]);
});

test("impossible writes change nothing", () => {
  const line = new Line();
  const { game } = line;
  const wrong = [
    () => (game.name = undefined), () => (game.name = NaN), () => (game.name = new Date()),
    () => game.tags.push(() => 1), () => (game.tags[5] = "x"), () => (game.tags.length = 9),
    () => delete game.tags[0], () => (game.tags.x = 1), () => (game.tags[-1] = 1),
    () => (game.__proto__ = {}), () => (game.constructor = 1), () => (game[Symbol("x")] = 1),
    () => Object.defineProperty(game, "name", { value: 1 }), () => Object.setPrototypeOf(game, null),
    () => Object.freeze(game), () => (line.replica.proxies.game = {}), () => increment(game, "__proto__"),
    () => replace({}, "x", 1), () => replace(game.tags, 9, "x"), () => game.tags.push("x", undefined),
    () => (game.score = 2 ** 53),
  ];
  for (const write of wrong) assert.throws(write, TypeError, String(write));
  assert.throws(() => increment(game, "name"), refusal("invalid_value"));
  assert.deepEqual(snapshot(game), VALUES);
  assert.deepEqual(line.written, []);
});

test("a held part that has left the state cannot be written", () => {
  const { game } = new Line();
  const [first, second] = game.todos;
  game.todos.shift();
  second.text = "still there";
  assert.equal(game.todos[0].text, "still there");
  assert.throws(() => (first.text = "gone"), refusal("not_found"));
  const { of } = game;
  game.of = { x: 2 };
  assert.throws(() => (of.x = 3), refusal("not_found"));
});

test("a held list stays one through all changes", () => {
  const { game } = new Line();
  const { todos } = game;
  const [first] = todos;
  todos.reverse();
  assert.equal(todos[1], first);
  first.text = "second";
  todos.length = 0;
  todos.push({ id: 3 });
  game.todos = [{ id: 4 }];
  assert.equal(game.todos, todos);
  assert.deepEqual(snapshot(todos), [{ id: 4 }]);
});

test("a change is one entry, or none", () => {
  const line = new Line();
  const { game } = line;
  assert.equal(change(() => ((game.name = "y"), game.tags.push("d"), "result")), "result");
  assert.equal(line.written[0].length, 2);
  const before = snapshot(game);
  assert.throws(() => change(() => ((game.name = "z"), game.tags.pop(), game.tags.push(undefined))), TypeError);
  assert.deepEqual(snapshot(game), before);
  change(() => {
    game.name = "outer";
    assert.throws(() => change(() => ((game.name = "inner"), assert.fail())));
  });
  assert.equal(game.name, "outer");
  assert.equal(line.written.length, 2);
  assert.equal(line.written[1].length, 1);
});

test("a change takes back local states too", () => {
  const local = new Store({ ui: { draft: "a" } }).proxies.ui;
  const line = new Line();
  assert.throws(() => change(() => ((local.draft = "b"), (line.game.name = "y"), assert.fail())));
  assert.deepEqual([local.draft, line.game.name], ["a", "x"]);
  change(() => ((local.draft = "b"), (line.game.name = "y")));
  assert.deepEqual(line.written, [[{ op: "set", path: "name", value: "y" }]]);
});

test("a number read in an earlier turn is no reason to expect it", async () => {
  const line = new Line();
  assert.equal(line.game.plain, 0);
  await microtasks();
  line.game.plain = 3;
  assert.deepEqual(line.written, [[{ op: "set", path: "plain", value: 3 }]]);
});

test("effects that write do not start each other for ever", async () => {
  const { game } = new Line();
  let runs = 0;
  effect(() => ((game.plain = game.name.length), (runs += 1)));
  effect(() => ((game.score = game.name.length), (runs += 1)));
  for (const name of ["xy", "xyz", "xyzz"]) {
    game.name = name;
    await microtasks();
  }
  assert.deepEqual([game.plain, game.score, runs], [4, 4, 8]);
});

test("effects run again in a microtask, once for all changes of a turn", async () => {
  const line = new Line();
  const { game } = line;
  const seen = [];
  const stop = effect(() => seen.push(`${game.name} ${game.tags.length}`));
  assert.deepEqual(seen, ["x 3"]);
  game.name = "y";
  game.tags.push("d");
  game.of.x = 7;
  assert.equal(seen.length, 1);
  await microtasks();
  assert.deepEqual(seen, ["x 3", "y 4"]);
  line.foreign({ op: "set", path: ["name"], value: "z" });
  await microtasks();
  assert.equal(seen.length, 3);
  game.name = "late";
  stop();
  await microtasks();
  assert.equal(seen.length, 3);
});

test("effects see keys that come and go, elements, and names that are not there yet", async () => {
  const { game } = new Line();
  const seen = [];
  effect(() => seen.push([Object.keys(game.of).join(), game.of.later, "x" in game.of, game.tags.join("")].join(" ")));
  game.of.later = 1;
  await microtasks();
  delete game.of.x;
  await microtasks();
  game.tags[0] = "z";
  await microtasks();
  game.of = {};
  await microtasks();
  assert.deepEqual(seen, ["x  true abc", "x,later 1 true abc", "later 1 false abc", "later 1 false zbc", "  false zbc"]);
});

test("an effect that fails leaves the others alone; outer ones run first and stop inner ones", async (context) => {
  const errors = context.mock.method(console, "error", () => {});
  const { game } = new Line();
  const order = [];
  let stopInner = () => {};
  effect(() => {
    stopInner();
    order.push(`outer ${game.name}`);
    stopInner = effect(() => order.push(`inner ${game.name}`));
  });
  effect(() => {
    if (game.name === "y") throw new Error("fails");
  });
  effect(() => (game.plain = game.name.length));
  game.name = "y";
  await microtasks();
  assert.deepEqual(order, ["outer x", "inner x", "outer y", "inner y"]);
  assert.equal(errors.mock.callCount(), 1);
  game.name = "four";
  await microtasks();
  assert.equal(game.plain, 4);
});

test("an effect is notified within each change, and of its origin", () => {
  const line = new Line();
  const origins = [];
  effect(() => line.game.name, (isOwn) => origins.push(isOwn));
  line.game.name = "y";
  line.foreign({ op: "set", path: ["plain"], value: 1 });
  line.refuse();
  line.foreign({ op: "set", path: ["name"], value: "z" });
  assert.ok(origins[0]);
  assert.equal(origins.at(-1), false);
  assert.ok(origins.includes(true));
});

test("a read in an effect is no reason to expect a number", () => {
  const line = new Line();
  effect(() => line.game.plain);
  line.game.plain = 4;
  assert.deepEqual(line.written, [[{ op: "set", path: "plain", value: 4 }]]);
});

test("the type of a member of a union does not show", () => {
  const line = new Line({ ...VALUES, of: { __type__: "Circle", value: { radius: 1 } } });
  line.game.of.radius = 2;
  assert.equal(line.game.of.radius, 2);
  assert.deepEqual(snapshot(line.game.of), { radius: 2 });
  assert.deepEqual(line.written, [[{ op: "set", path: "of/radius", value: 2 }]]);
});

test("several elements are appended to a list that trims, and to a set that has one of them", () => {
  const replica = new Replica({ game: { marks: { last: { keep: 2 }, of: { set: true } } } });
  replica.receive(snapshotMessage({ last: ["a", "b"], of: [1, 2] }));
  const { game } = replica.proxies;
  game.last.push("c", "d");
  game.of.push(2, 3, 0);
  assert.deepEqual(snapshot(game), { last: ["c", "d"], of: [0, 1, 2, 3] });
  const sent = replica.pending.flatMap((each) => each.operations.map(({ op }) => op));
  assert.deepEqual(sent, Array(5).fill("append"));
});

test("a member of a union that moves keeps its type", () => {
  const circle = { __type__: "Circle", value: { radius: 1 } };
  const line = new Line({ ...VALUES, of: circle, shapes: [circle] });
  line.game.shapes.push(line.game.of);
  line.game.of = line.game.shapes[0];
  line.game.shapes.reverse();
  assert.deepEqual(line.written, [
    [{ op: "append", path: "shapes", value: circle }],
    [{ op: "set", path: "of", value: circle }],
    [{ op: "set", path: "shapes", value: [circle, circle], expect: [circle, circle] }],
  ]);
});

test("a snapshot is a plain copy", () => {
  const { game } = new Line();
  const copy = snapshot(game);
  copy.tags.push("d");
  assert.equal(game.tags.length, 3);
  assert.equal(snapshot(3), 3);
  assert.deepEqual(structuredClone(snapshot(game.todos)), VALUES.todos);
});
