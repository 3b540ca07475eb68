// Replicas for a test in another process: one JSON command in each line, one answer in each line.
import { createInterface } from "node:readline";

import { change, increment, Refused, remove, replace, Replica, snapshot } from "./static.mjs";

/** Mulberry32, so that a seed means the same writes everywhere. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ["", "a", "b", "zé", "<b>"];

/** Write something that fits the model more or less. */
function writeOne(game, random, client, serial) {
  const below = (limit) => Math.floor(random() * limit);
  const pick = (list) => list[below(list.length)];
  const word = () => pick(WORDS);
  const item = () => ({ id: 100 * serial + 10 * client + below(3), text: word() });
  const anyItem = () => pick(game.items);
  const node = () => (game.root.children.length && below(3) ? pick(game.root.children) : game.root);
  const actions = [
    () => (game.score += 1 + below(3)), () => (game.score += 1), () => replace(game, "score", below(9)),
    () => (game.plain += 1), () => (game.plain = below(9)), () => increment(game, "plain", 2),
    () => (game.ratio = below(9) / 4), () => (game.name = word()), () => (game.name += "x"),
    () => (game.name = 5), () => (game.nothing = 1),
    () => game.numbers.push(below(9)), () => game.numbers.pop(), () => game.numbers.shift(),
    () => game.numbers.unshift(below(9)), () => game.numbers.splice(below(4), below(3), below(9)),
    () => game.numbers.splice(below(9), 0, below(9), below(9)), () => game.numbers.sort(),
    () => game.numbers.reverse(), () => (game.numbers.length = 0), () => (game.numbers[below(3)] = below(9)),
    () => remove(game.numbers, below(9)), () => game.numbers.fill(1), () => increment(game.numbers, 0),
    () => (game.numbers = [below(9)]),
    () => game.rows.push([below(9)]), () => pick(game.rows).push(below(9)), () => pick(game.rows).shift(),
    () => game.rows.splice(below(3), 1), () => (game.rows[0] = []), () => (pick(game.rows).length = 0),
    () => game.log.push(word()), () => game.log.push(word(), word()), () => game.log.unshift(word()),
    () => game.log.splice(1, 1, word()), () => (game.log = [word(), word(), word(), word(), word()]),
    () => game.items.push(item()), () => game.items.unshift(item()), () => game.items.splice(below(3), 1),
    () => (anyItem().text = word()), () => (anyItem().votes += 1), () => anyItem().tags.push(word()),
    () => remove(anyItem().tags, word()), () => (anyItem().done = !anyItem().done), () => game.items.reverse(),
    () => game.items.sort((one, other) => one.id - other.id), () => (game.items[0] = item()),
    () => (game.keyed[word()] = item()), () => delete game.keyed[word()],
    () => (pick(Object.values(game.keyed)).votes += 1), () => (game.keyed.a.text = word()),
    () => (game.counts[word()] = (game.counts[word()] ?? 0) + 1), () => increment(game.counts, word()),
    () => delete game.counts[word()], () => game.tags.push(word()), () => remove(game.tags, word()),
    () => (game.shape = { radius: below(9) }), () => (game.shape = { __type__: "Square", value: { side: 1.5 } }),
    () => (game.shape.radius = below(9) / 2), () => (game.shape.side += 1),
    () => node().children.push({ name: word() }), () => (node().name = word()), () => (node().visits += 1),
    () => node().children.splice(below(2), 1), () => node().lines.push(word()),
    () => (game.anything = pick([1, "x", null, [1, [2]], { a: { b: [1] } }])), () => (game.anything.a = below(5)),
    () => game.anything.push(1), () => (game.anything.a.b[0] = below(9)), () => delete game.anything.a,
    () => (game.secret = 1),
  ];
  pick(actions)();
}

const replicas = [];
const refused = [];

const commands = {
  open({ marks, count }) {
    for (let index = 0; index < count; index += 1) {
      const replica = new Replica({ game: { marks } });
      replica.onRefused = () => {};
      refused[index] = [];
      replicas[index] = replica;
    }
  },
  hello: ({ at }) => replicas[at].hello(),
  receive({ at, message }) {
    const before = replicas[at].pending.map((each) => each.number);
    const told = [];
    replicas[at].onRefused = ({ code }) => told.push(code);
    const isFresh = replicas[at].receive(message);
    const after = replicas[at].pending.map((each) => each.number);
    return { isFresh, told, dropped: before.filter((number) => !after.includes(number)) };
  },
  write({ at, seed, serial }) {
    const replica = replicas[at];
    const { game } = replica.proxies;
    const random = generator(seed);
    const before = JSON.stringify(snapshot(game));
    const { number } = replica;
    try {
      if (random() < 0.25) {
        change(() => {
          writeOne(game, random, at, serial);
          writeOne(game, random, at, serial);
          if (random() < 0.2) throw new TypeError("as if something else had failed");
        });
      } else writeOne(game, random, at, serial);
    } catch (error) {
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
      const isUnchanged = JSON.stringify(snapshot(game)) === before && replica.number === number;
      if (!isUnchanged) return { written: replica.number, isBroken: String(error.stack) };
    }
    return { written: replica.number };
  },
  send({ at }) {
    const entry = replicas[at].next;
    if (!entry) return null;
    entry.isSent = entry.wasSent = true;
    return JSON.parse(entry.text);
  },
  views: () =>
    replicas.map((replica) => ({ game: replica.states.game, position: replica.position, pending: replica.pending.length })),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = commands[command.call](command) ?? null;
  } catch (error) {
    answer = { failed: String(error.stack) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
