import assert from "node:assert/strict";
import { test } from "node:test";

import { become, change, effect, increment, Refused, remove, replace, Replica, snapshot, Store } from "./static.mjs";

const CLIENT = "abcdefghijklmnopqrstuv";
const MARKS = {
  game: {
    marks: {
      score: { counter: true },
      "scores/*": { counter: true },
      last: { keep: 2 },
      secret: { serverOnly: true },
      "todos/*/votes": { counter: true },
    },
  },
};
const VALUES = {
  score: 0, plain: 0, name: "x", tags: ["a", "b", "c"], last: ["a", "b"], scores: {}, of: { x: 1 },
  todos: [{ id: 1, text: "one", votes: 0 }, { id: 2, text: "two", votes: 0 }],
  rows: [[1], [2]], plainRows: [{ n: 1 }, { n: 2 }], secret: { n: 1 },
};

const microtasks = async () => {
  for (let turn = 0; turn < 5; turn += 1) await null;
};
const snapshotMessage = (game, more) => ({
  type: "snapshot", epoch: "e", seq: 0, states: { game: structuredClone(game) }, last: 0, outcomes: {},
  limits: {}, by: "", client: CLIENT, ...more,
});

/** A replica, and the part of its server in the test. */
class Line {
  constructor(values = VALUES) {
    this.replica = new Replica(MARKS);
    this.refused = [];
    this.replica.onRefused = (refused) => this.refused.push(refused);
    this.replica.receive(snapshotMessage(values));
    this.game = this.replica.proxies.game;
    this.seq = 0;
  }

  /** Let another client change something. */
  foreign(...operations) {
    this.seq += 1;
    const changes = operations.map((each) => ({ ...each, path: ["game", ...each.path] }));
    return this.replica.receive({ type: "sync", seq: this.seq, id: "other:1", do: changes });
  }

  /** Confirm the first own entry, as it was sent or as the server has changed it. */
  confirm(operations) {
    const entry = this.replica.pending[0];
    entry.isSent = entry.wasSent = true;
    this.seq += 1;
    const { do: sent } = JSON.parse(entry.text);
    const id = `${CLIENT}:${entry.number}`;
    return this.replica.receive({ type: "sync", seq: this.seq, id, do: operations ?? sent });
  }

  refuse(code = "conflict", more = {}) {
    const { number } = this.replica.pending[0];
    this.replica.receive({ type: "refused", id: number, code, message: code, ...more });
  }

  /** The operations that wait, without the name of the state. */
  get written() {
    return this.replica.pending.map((entry) =>
      JSON.parse(entry.text).do.map(({ path, ...more }) => ({ ...more, path: path.slice(1).join("/") })),
    );
  }
}

const refusal = (code) => (error) => error instanceof Refused && error.code === code;

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

test("an own entry is confirmed without a trace", () => {
  const line = new Line();
  const added = (line.game.todos.push({ id: 3, text: "three", votes: 0 }), line.game.todos[2]);
  line.game.todos[2].text = "drei";
  assert.ok(line.confirm());
  assert.ok(line.confirm());
  assert.equal(line.game.todos[2], added);
  assert.equal(line.game.todos[2].text, "drei");
  assert.deepEqual(line.written, []);
});

test("the confirmed form of an own entry wins, and its objects stay", () => {
  const line = new Line();
  line.game.todos.push({ id: 3 });
  const added = line.game.todos[2];
  const value = { id: 3, text: "default", votes: 0 };
  line.confirm([{ op: "append", path: ["game", "todos"], value }]);
  assert.deepEqual(snapshot(line.game.todos[2]), value);
  assert.equal(line.game.todos[2], added);
  line.game.last.push("c");
  const trimmed = [
    { op: "delete", path: ["game", "last", 0] },
    { op: "append", path: ["game", "last"], value: "c" },
  ];
  assert.deepEqual(snapshot(line.game.last), ["b", "c"]);
  line.confirm(trimmed);
  assert.deepEqual(snapshot(line.game.last), ["b", "c"]);
});

test("foreign entries come before own ones", () => {
  const line = new Line();
  line.game.tags.push("mine");
  line.game.score += 5;
  line.foreign({ op: "append", path: ["tags"], value: "other" });
  line.foreign({ op: "increment", path: ["score"], value: 2 });
  assert.deepEqual(snapshot(line.game.tags), ["a", "b", "c", "other", "mine"]);
  assert.equal(line.game.score, 7);
  line.confirm();
  line.confirm();
  assert.deepEqual(snapshot(line.game.tags), ["a", "b", "c", "other", "mine"]);
  assert.equal(line.game.score, 7);
});

test("two sums on a plain number: the later one is refused, and seen to be", () => {
  const line = new Line();
  line.game.plain += 1;
  line.foreign({ op: "set", path: ["plain"], value: 1 });
  assert.equal(line.game.plain, 1);
  assert.equal(line.replica.pending.length, 1);
  line.refuse("conflict", { path: ["game", "plain"], found: 1 });
  assert.equal(line.game.plain, 1);
  const [{ code, path, found }] = line.refused;
  assert.deepEqual([code, path, found], ["conflict", ["game", "plain"], 1]);
});

test("a number read in an earlier turn is no reason to expect it", async () => {
  const line = new Line();
  assert.equal(line.game.plain, 0);
  await microtasks();
  line.game.plain = 3;
  assert.deepEqual(line.written, [[{ op: "set", path: "plain", value: 3 }]]);
});

test("a write below an index never hits another element", () => {
  const line = new Line();
  line.game.todos[1].text = "mine";
  line.foreign({ op: "insert", path: ["todos", 0], value: { id: 9, text: "new", votes: 0 } });
  assert.deepEqual(line.game.todos.map((todo) => todo.text), ["new", "one", "two"]);
  line.refuse();
  assert.equal(line.refused[0].code, "conflict");
});

test("a refused entry is taken back, with those that stand on it", () => {
  const line = new Line();
  line.game.of = { x: 1, inner: {} };
  line.game.of.inner.y = 1;
  line.refuse("invalid_value");
  assert.deepEqual(snapshot(line.game), VALUES);
  line.refuse("not_found");
  assert.equal(line.replica.pending.length, 0);
  assert.equal(line.refused.length, 2);
});

test("entries that were not sent take in later values of their path", () => {
  const line = new Line();
  for (const text of ["a", "ab", "abc"]) line.game.name = text;
  for (let count = 0; count < 5; count += 1) line.game.score += 1;
  for (const text of ["x", "xy"]) {
    line.game.todos[0].text = text;
    line.game.name += text;
  }
  assert.deepEqual(line.written, [
    [{ op: "set", path: "name", value: "abcxxy" }],
    [{ op: "increment", path: "score", value: 5 }],
    [{ op: "test", path: "todos/0/id", expect: 1 }, { op: "set", path: "todos/0/text", value: "xy" }],
  ]);
  line.game.tags = ["d"];
  line.game.plain = 7;
  line.game.tags = ["d", "e"];
  assert.equal(line.written.length, 5);
  for (let count = 0; count < 5; count += 1) line.refuse();
  assert.deepEqual(snapshot(line.game), VALUES);
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

test("an entry takes in nothing across one that depends on it, or after it was sent", () => {
  const line = new Line();
  line.game.of = { x: 2 };
  line.game.of.x = 3;
  line.game.of = { x: 4 };
  assert.equal(line.replica.pending.length, 3);
  line.game.name = "a";
  line.replica.pending.at(-1).wasSent = true;
  line.game.name = "b";
  assert.equal(line.replica.pending.length, 5);
  line.game.plain += 1;
  line.game.plain += 1;
  assert.deepEqual(line.written.at(-1), [{ op: "set", path: "plain", value: 2, expect: 0 }]);
});

test("an entry over a limit is refused before it shows", () => {
  const line = new Line();
  line.replica.limits.frame = 200;
  assert.throws(() => (line.game.name = "é".repeat(90)), refusal("too_large"));
  assert.equal(line.game.name, "x");
  line.game.name = "y";
  line.replica.limits.operations = 2;
  assert.throws(() => line.game.tags.push("1", "2", "3"), refusal("too_large"));
  assert.equal(line.game.tags.length, 3);
  assert.equal(line.replica.pending.length, 1);
});

test("at most 1,000 entries, or 256 KiB, wait", () => {
  const many = new Line();
  for (let count = 0; count < 1000; count += 1) many.game.tags.push("x");
  assert.throws(() => many.game.tags.push("x"), refusal("too_many_pending"));
  assert.equal(many.game.tags.length, 1003);
  const large = new Line();
  for (let count = 0; count < 4; count += 1) large.game.tags.push("x".repeat(65_000));
  assert.throws(() => large.game.tags.push("x".repeat(65_000)), refusal("too_many_pending"));
});

test("at most 128 entries are sent without an answer", () => {
  const line = new Line();
  for (let count = 0; count < 130; count += 1) line.game.tags.push("x");
  let sent = 0;
  for (let entry; (entry = line.replica.next); sent += 1) entry.isSent = entry.wasSent = true;
  assert.equal(sent, 128);
  line.confirm();
  assert.equal(line.replica.next.number, 129);
  assert.deepEqual(line.replica.hello().pending.at(-1), 128);
  assert.equal(line.replica.next.number, 2);
});

test("after a resume, known outcomes are not sent again", () => {
  const line = new Line();
  for (const text of ["1", "2", "3", "4"]) line.game.tags.push(text);
  for (const entry of line.replica.pending.slice(0, 3)) entry.isSent = entry.wasSent = true;
  assert.deepEqual(line.replica.hello(), { type: "hello", v: 1, epoch: "e", seq: 0, pending: [1, 2, 3] });
  const outcomes = { 1: 1, 2: "conflict" };
  const resume = { type: "resume", epoch: "e", seq: 1, last: 2, outcomes, limits: {}, client: CLIENT };
  line.replica.receive(resume);
  assert.equal(line.refused[0].code, "conflict");
  assert.deepEqual(snapshot(line.game.tags).slice(3), ["1", "3", "4"]);
  assert.equal(line.replica.next.number, 3);
  line.confirm();
  assert.equal(line.replica.pending.length, 2);
});

test("a new epoch keeps entries that the server does not know", () => {
  const line = new Line();
  line.game.tags.push("1");
  line.game.tags.push("2");
  line.replica.pending[0].wasSent = true;
  line.replica.receive(snapshotMessage(VALUES, { epoch: "f", seq: 7 }));
  assert.deepEqual(snapshot(line.game.tags).slice(3), ["1", "2"]);
  assert.equal(line.replica.next.number, 1);
  line.seq = 7;
  line.confirm();
  line.confirm();
  assert.deepEqual(snapshot(line.game.tags).slice(3), ["1", "2"]);
});

test("a snapshot settles the entries that are in it, also those of an earlier epoch", () => {
  const line = new Line();
  line.game.tags.push("1");
  line.game.score += 1;
  line.game.name = "lost";
  const values = { ...VALUES, tags: ["a", "b", "c", "1"], score: 1 };
  const answers = { last: 3, outcomes: { 1: 5, 2: 0 } };
  line.replica.receive(snapshotMessage(values, { seq: 5, ...answers }));
  assert.equal(line.replica.pending.length, 0);
  assert.deepEqual(snapshot(line.game), values);
  assert.deepEqual(line.refused.map(({ code }) => code), ["outcome_unknown"]);
  line.game.name = "new";
  assert.equal(line.replica.pending[0].number, 4);
});

test("an answer that the own entry was known is enough", () => {
  const line = new Line();
  line.game.name = "y";
  line.replica.receive({ type: "done", id: 1, seq: 1 });
  assert.equal(line.replica.pending.length, 1);
  line.confirm();
  assert.equal(line.replica.pending.length, 0);
  line.game.name = "z";
  line.replica.receive({ type: "done", id: 2, seq: 1 });
  assert.equal(line.replica.pending.length, 0);
});

test("a gap is noticed, and a late duplicate does nothing", () => {
  const line = new Line();
  line.foreign({ op: "set", path: ["name"], value: "y" });
  line.seq = 0;
  assert.ok(line.foreign({ op: "set", path: ["name"], value: "z" }));
  assert.equal(line.game.name, "y");
  line.seq = 5;
  assert.ok(!line.foreign({ op: "set", path: ["name"], value: "z" }));
  assert.ok(!line.replica.receive({ type: "tick", seq: 2 }));
  assert.ok(line.replica.receive({ type: "tick", seq: 1 }));
  assert.ok(line.replica.receive({ type: "of the future" }));
});

test("an entry that does not fit asks for a snapshot", (context) => {
  context.mock.method(console, "warn", () => {});
  const line = new Line();
  line.game.tags.push("mine");
  assert.ok(!line.foreign({ op: "set", path: ["none", "x"], value: 1 }));
  assert.equal(line.replica.hello().epoch, null);
  line.replica.receive(snapshotMessage({ ...VALUES, name: "new" }));
  assert.equal(line.game.name, "new");
  assert.deepEqual(snapshot(line.game.tags), ["a", "b", "c", "mine"]);
});

test("objects that are equal stay over a snapshot", () => {
  const line = new Line();
  const { game } = line;
  const [one, two] = game.todos;
  const { tags, of } = game;
  const values = structuredClone(VALUES);
  values.todos.unshift({ id: 0, text: "zero", votes: 0 });
  values.todos[2].text = "zwei";
  values.of = { y: 1, x: 2 };
  line.replica.receive(snapshotMessage(values));
  assert.equal(line.replica.proxies.game, game);
  assert.deepEqual(snapshot(game), values);
  assert.equal(game.todos[1], one);
  assert.equal(game.todos[2], two);
  assert.equal(game.tags, tags);
  assert.equal(game.of, of);
  of.x = 3;
  assert.deepEqual(Object.keys(game.of), ["y", "x"]);
});

test("values become others of any kind", () => {
  const values = [1, null, "x", [], [1, 2], [{ id: 1 }, { id: 1 }, {}], {}, { a: [1], b: {} }, { b: 1 }];
  for (const one of values) {
    for (const other of values) {
      const old = structuredClone(one);
      assert.deepEqual(become(old, structuredClone(other)), other);
    }
  }
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

test("an entry that a foreign one makes impossible is taken back as an own change", () => {
  const line = new Line();
  const [todo] = line.game.todos;
  const origins = [];
  effect(() => todo.done, (isOwn) => origins.push(isOwn));
  todo.done = !todo.done;
  line.foreign({ op: "set", path: ["todos"], value: [] });
  assert.deepEqual([origins[0], origins.at(-1)], [true, true]);
});

test("states are empty before they are loaded, and keep early writes", () => {
  const replica = new Replica(MARKS);
  const { game } = replica.proxies;
  assert.equal(game.name, undefined);
  assert.equal(replica.hello().epoch, null);
  assert.ok(replica.receive({ type: "sync", seq: 3, id: "other:1", do: [] }));
  increment(game, "score", 2);
  game.name = "early";
  replica.receive(snapshotMessage({ ...VALUES, score: 10 }, { seq: 3 }));
  assert.deepEqual([game.score, game.name, replica.pending.length], [12, "early", 2]);
});

test("a snapshot is a plain copy", () => {
  const { game } = new Line();
  const copy = snapshot(game);
  copy.tags.push("d");
  assert.equal(game.tags.length, 3);
  assert.equal(snapshot(3), 3);
  assert.deepEqual(structuredClone(snapshot(game.todos)), VALUES.todos);
});
