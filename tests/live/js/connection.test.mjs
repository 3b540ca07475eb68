import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeSocket, microtasks, openBrowser } from "./browser.mjs";
import { Connection, Replica } from "./static.mjs";

const CLIENT = "abcdefghijklmnopqrstuv";
const answer = (more = {}) => ({
  type: "snapshot", epoch: "e", seq: 0, states: { game: { score: 0, list: [] } }, client: CLIENT,
  last: 0, outcomes: {}, limits: {}, by: "ada", ...more,
});

/** A page with a connection, which is online unless asked otherwise. */
function openPage(context, { isOnline = true } = {}) {
  const browser = openBrowser(context);
  const replica = new Replica({ game: { marks: { score: { counter: true } } } });
  const live = new Connection(replica, "ws://example/live/ws");
  const statuses = [];
  live.addEventListener("status", () => statuses.push(live.status));
  live.open();
  if (isOnline) greet();
  return { browser, replica, live, statuses, game: replica.proxies.game };
}

function greet(more) {
  FakeSocket.last.open();
  FakeSocket.last.deliver(answer(more));
}

const sentEntries = (socket = FakeSocket.last) => socket.sent.filter(({ type }) => type === "do");

test("it greets first, and is online when the states have come", async (context) => {
  const { live, statuses } = openPage(context, { isOnline: false });
  assert.equal(live.status, "connecting");
  assert.equal(FakeSocket.last.url, "ws://example/live/ws");
  FakeSocket.last.open();
  const [{ secret, ...hello }] = FakeSocket.last.sent;
  assert.match(secret, /^[!-~]{32}$/);
  assert.deepEqual(hello, { type: "hello", v: 1, epoch: null, seq: 0, pending: [] });
  let isReady = false;
  live.ready.then(() => (isReady = true));
  await microtasks();
  assert.ok(!isReady);
  FakeSocket.last.deliver(answer());
  await microtasks();
  assert.ok(isReady);
  assert.deepEqual([live.status, live.by, statuses], ["online", "ada", ["online"]]);
});

test("writes are sent in a microtask, with those of the same turn in one where possible", async (context) => {
  const { game } = openPage(context);
  game.score += 1;
  game.score += 1;
  game.list.push("x");
  assert.deepEqual(sentEntries(), []);
  await microtasks();
  assert.deepEqual(sentEntries(), [
    { type: "do", id: 1, do: [{ op: "increment", path: ["game", "score"], value: 2 }] },
    { type: "do", id: 2, do: [{ op: "append", path: ["game", "list"], value: "x" }] },
  ]);
});

test("offline writes wait, and go in order with their numbers when the line is back", async (context) => {
  const { browser, live, statuses, game } = openPage(context);
  game.list.push("sent");
  await microtasks();
  FakeSocket.last.lose();
  game.list.push("later");
  await microtasks();
  assert.deepEqual([live.status, live.pending, [...game.list]], ["offline", 2, ["sent", "later"]]);
  browser.pass(250);
  FakeSocket.last.open();
  assert.deepEqual(FakeSocket.last.sent[0].pending, [1]);
  FakeSocket.last.deliver({ ...answer(), type: "resume" });
  assert.deepEqual(sentEntries().map(({ id }) => id), [1, 2]);
  assert.deepEqual(statuses, ["online", "offline", "online"]);
  let isSettled = false;
  live.settled().then(() => (isSettled = true));
  const confirm = (seq) => ({ type: "sync", seq, id: `${CLIENT}:${seq}`, do: sentEntries()[seq - 1].do });
  FakeSocket.last.deliver(confirm(1));
  await microtasks();
  assert.ok(!isSettled);
  FakeSocket.last.deliver(confirm(2));
  await microtasks();
  assert.ok(isSettled);
  assert.equal(live.pending, 0);
});

test("it comes again later and later, up to half a minute, and never twice at once", (context) => {
  const { browser } = openPage(context);
  let random = 0;
  context.mock.method(Math, "random", () => random);
  const delays = [];
  for (let count = 0; count < 9; count += 1) {
    const sockets = FakeSocket.all.length;
    FakeSocket.last.lose(1012);
    let waited = 0;
    for (; FakeSocket.all.length === sockets; waited += 50) browser.pass(50);
    delays.push(waited);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  greet();
  random = 1;
  FakeSocket.last.lose();
  const sockets = FakeSocket.all.length;
  browser.pass(100);
  assert.equal(FakeSocket.all.length, sockets);
  browser.pass(50);
  assert.equal(FakeSocket.all.length, sockets + 1);
});

for (const code of [4401, 4403, 4409]) {
  test(`${code} is final`, (context) => {
    const { browser, live } = openPage(context);
    const sockets = FakeSocket.all.length;
    FakeSocket.last.lose(code);
    assert.equal(live.status, "refused");
    browser.pass(60_000);
    browser.fire("online");
    browser.fire("offline");
    assert.equal(FakeSocket.all.length, sockets);
    assert.equal(live.status, "refused");
  });
}

test("another version of the protocol reloads the page once", (context) => {
  const { browser, live } = openPage(context, { isOnline: false });
  FakeSocket.last.lose(4426);
  assert.equal(browser.reloads, 1);
  live.open();
  FakeSocket.last.lose(4426);
  assert.equal(browser.reloads, 1);
  assert.equal(live.status, "refused");
});

test("a line that is silent for 45 seconds is replaced", (context) => {
  const { browser, live } = openPage(context);
  browser.pass(40_000);
  FakeSocket.last.deliver({ type: "tick", seq: 0 });
  browser.pass(40_000);
  assert.equal(FakeSocket.all.length, 1);
  browser.pass(20_000);
  assert.ok(FakeSocket.all[0].isClosed);
  assert.ok(FakeSocket.all.length > 1);
  assert.equal(live.status, "offline");
});

test("a gap makes it come again, and messages of the old line are ignored", async (context) => {
  const { browser, game } = openPage(context);
  const [first] = FakeSocket.all;
  const { onmessage } = first;
  first.deliver({ type: "tick", seq: 4 }, { type: "sync", seq: 1, id: "x:1", do: [] });
  assert.ok(first.isClosed);
  browser.pass(250);
  greet({ seq: 4 });
  onmessage({ data: JSON.stringify([answer({ seq: 9, states: { game: { score: 9 } } })]) });
  assert.equal(game.score, 0);
});

test("signs of life of the browser end the waiting, and replace a dead line only", (context) => {
  const { browser, live } = openPage(context);
  browser.fire("online");
  browser.fire("pageshow");
  assert.equal(FakeSocket.all.length, 1);
  browser.pass(14_000);
  FakeSocket.last.lose();
  for (let count = 0; count < 6; count += 1) {
    browser.pass(30_000);
    FakeSocket.last.lose();
  }
  for (const name of ["online", "pageshow", "visibilitychange"]) {
    const sockets = FakeSocket.all.length;
    browser.document.hidden = true;
    browser.fire(name);
    assert.equal(FakeSocket.all.length, sockets);
    browser.document.hidden = false;
    browser.fire(name);
    assert.equal(FakeSocket.all.length, sockets + 1);
    FakeSocket.last.lose();
  }
  browser.fire("online");
  greet();
  browser.pass(25_000);
  browser.fire("visibilitychange");
  assert.equal(FakeSocket.all.at(-2).isClosed, true);
  browser.fire("offline");
  assert.equal(live.status, "offline");
});

test("the line is closed for the back/forward cache, and opened again after it", (context) => {
  const { browser, live, statuses } = openPage(context);
  const { secret } = FakeSocket.last.sent[0];
  browser.fire("pagehide", { persisted: true });
  assert.ok(FakeSocket.last.isClosed);
  assert.equal(live.status, "offline");
  assert.equal(browser.session.items.size, 0);
  browser.pass(60_000);
  assert.equal(FakeSocket.all.length, 1);
  browser.fire("pageshow", { persisted: true });
  greet();
  assert.equal(FakeSocket.last.sent[0].secret, secret);
  assert.deepEqual(statuses, ["online", "offline", "online"]);
});

test("a reload keeps the identity and goes on counting; a copy of the tab is another one", async (context) => {
  const { browser, game } = openPage(context);
  const { secret } = FakeSocket.last.sent[0];
  game.list.push("x");
  browser.fire("pagehide", { persisted: false });
  const replicas = [new Replica({ game: {} }), new Replica({ game: {} })];
  for (const replica of replicas) {
    new Connection(replica, "ws://example/live/ws").open();
    FakeSocket.last.open();
  }
  const [reloaded, copied] = FakeSocket.all.slice(-2).map((socket) => socket.sent[0].secret);
  assert.equal(reloaded, secret);
  assert.notEqual(copied, secret);
  assert.deepEqual(replicas.map(({ number }) => number), [1, 0]);
});

test("without a storage each load is a new client", (context) => {
  const browser = openBrowser(context);
  browser.session.isBroken = true;
  const live = new Connection(new Replica({ game: {} }), "ws://example/live/ws");
  live.open();
  greet();
  browser.fire("pagehide", { persisted: false });
  assert.equal(live.status, "offline");
});

test("it keeps to the rate by itself", async (context) => {
  const { browser, game, replica } = openPage(context);
  Object.assign(replica.limits, { rate: 100, burst: 10 });
  for (let count = 0; count < 30; count += 1) game.list.push(count);
  await microtasks();
  assert.equal(sentEntries().length, 10);
  browser.pass(100);
  assert.ok(sentEntries().length >= 18 && sentEntries().length <= 20, sentEntries().length);
  browser.pass(200);
  assert.deepEqual(sentEntries().map(({ id }) => id), Array.from({ length: 30 }, (_, index) => index + 1));
});

test("entries that the door could not take go again, in order", async (context) => {
  const { browser, live, game } = openPage(context);
  for (const word of ["a", "b", "c"]) game.list.push(word);
  await microtasks();
  const [, { id }] = sentEntries();
  const refused = { type: "refused", code: "rate_limited", message: "" };
  FakeSocket.last.deliver({ ...refused, id, retry_after: 2 }, { ...refused, id: id + 1, retry_after: 2 });
  assert.equal(sentEntries().length, 3);
  assert.equal(live.pending, 3);
  assert.deepEqual([...game.list], ["a", "b", "c"]);
  browser.pass(2100);
  assert.deepEqual(sentEntries().map((each) => each.id), [1, 2, 3, 2, 3]);
});

test("an entry over the frame is refused here, and the line stays open", async (context) => {
  const { game, live } = openPage(context);
  assert.throws(() => game.list.push("x".repeat(65_537)), { code: "too_large" });
  game.list.push("small");
  await microtasks();
  assert.equal(sentEntries().length, 1);
  assert.equal(live.status, "online");
});

test("it asks before the page is left with entries that would be lost", async (context) => {
  const { browser, game } = openPage(context);
  const isAsked = () => browser.fire("beforeunload").defaultPrevented;
  assert.ok(!isAsked());
  game.list.push("x");
  await microtasks();
  assert.ok(isAsked());
  FakeSocket.last.lose();
  assert.ok(isAsked());
  // The page is online soon, but the service may still be unable to take the entry.
  browser.pass(250);
  greet();
  assert.ok(isAsked());
  FakeSocket.last.deliver({ type: "sync", seq: 1, id: `${CLIENT}:1`, do: sentEntries()[0].do });
  assert.ok(!isAsked());
});

test("visitors come and go, and are listed anew on each connection", (context) => {
  const { browser, live } = openPage(context);
  const visitor = (id, presence = null) => ({ id, by: "", since: 1, presence });
  FakeSocket.last.deliver({ type: "visitors", changed: [visitor("a"), visitor("b")], gone: [] });
  FakeSocket.last.deliver({ type: "visitors", changed: [visitor("b", { x: 1 })], gone: ["a"] });
  assert.deepEqual(live.visitors, [visitor("b", { x: 1 })]);
  FakeSocket.last.lose();
  browser.pass(250);
  greet();
  FakeSocket.last.deliver({ type: "visitors", changed: [visitor("c")], gone: [] });
  assert.deepEqual(live.visitors, [visitor("c")]);
});

test("the own presence is sent again on each connection", (context) => {
  const { browser, live } = openPage(context, { isOnline: false });
  const presences = () => FakeSocket.last.sent.filter(({ type }) => type === "presence");
  live.present({ x: 1 });
  assert.deepEqual(presences(), []);
  greet();
  assert.deepEqual(presences(), [{ type: "presence", value: { x: 1 } }]);
  live.present(null);
  FakeSocket.last.lose();
  browser.pass(250);
  greet();
  assert.deepEqual(presences(), [{ type: "presence", value: null }]);
  for (const wrong of [[], "x", undefined, { x: "x".repeat(1024) }]) {
    assert.throws(() => live.present(wrong), TypeError);
  }
});

test("a snapshot for a slow reader is no new connection", (context) => {
  const { live, game } = openPage(context);
  live.present({ x: 1 });
  FakeSocket.last.deliver(answer({ seq: 5, states: { game: { score: 5, list: [] } } }));
  assert.equal(game.score, 5);
  assert.equal(FakeSocket.last.sent.filter(({ type }) => type === "presence").length, 1);
});
