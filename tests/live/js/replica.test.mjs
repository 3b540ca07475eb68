import assert from "node:assert/strict";
import { test } from "node:test";

import { CLIENT, Line, MARKS, refusal, snapshotMessage, VALUES } from "./line.mjs";
import { become, effect, increment, Replica, snapshot } from "./static.mjs";

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
