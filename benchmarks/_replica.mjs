// Times a replica of the shared states, and prints the median seconds of each case as JSON.
import { pathToFileURL } from "node:url";

const [folder, rounds] = process.argv.slice(2);
const { Replica } = await import(new URL("store.js", pathToFileURL(`${folder}/`)).href);

const CLIENT = "k3J9x2QwTr0aLm5Ncb81Vf";
const items = (count) =>
  Array.from({ length: count }, (_, id) => ({ id, text: `item ${id}`, of: { count: id } }));
const snapshotOf = (game) =>
  JSON.parse(
    JSON.stringify({
      type: "snapshot", epoch: "e", seq: 0, states: { game }, client: CLIENT, last: 0, outcomes: {}, limits: {},
    }),
  );

function open(count = 100) {
  const replica = new Replica({ game: { marks: { score: { counter: true } } } });
  replica.receive(snapshotOf({ score: 0, name: "", of: { of: { count: 1 } }, items: items(count) }));
  return replica;
}

function foreign(replica, count) {
  for (let seq = replica.position.seq + 1, end = seq + count; seq < end; seq += 1) {
    const operation = { op: "set", path: ["game", "items", seq % 100, "text"], value: `text ${seq}` };
    replica.receive({ type: "sync", seq, id: `another-client:${seq}`, do: [operation] });
  }
}

function writing(replica, count) {
  const { game } = replica.proxies;
  for (let number = 0; number < count; number += 1) {
    game.items[number % 100].text = `text ${number}`;
    for (const each of replica.pending) each.wasSent = true; // nothing is put into it
  }
}

const cases = {
  foreign: () => {
    const replica = open();
    return [1000, () => foreign(replica, 1000)];
  },
  crowded: () => {
    const replica = open();
    writing(replica, 128);
    return [100, () => foreign(replica, 100)];
  },
  write: () => {
    const replica = open();
    return [100, () => writing(replica, 100), () => (replica.pending = [])];
  },
  read: () => {
    const { game } = open().proxies;
    let sum = 0;
    return [1000, () => {
      for (let count = 0; count < 1000; count += 1) sum += game.of.of.count;
    }];
  },
  snapshot: () => {
    const replica = open(5000);
    let message;
    const prepare = () => (message = snapshotOf({ ...replica.states.game }));
    prepare();
    return [1, () => replica.receive(message), prepare];
  },
};

const medians = {};
for (const [name, prepare] of Object.entries(cases)) {
  const [times, run, reset = () => {}] = prepare();
  const found = [];
  for (let round = -5; round < Number(rounds); round += 1) {
    const begun = performance.now();
    run();
    if (round >= 0) found.push((performance.now() - begun) / times / 1000);
    reset();
    await null;
  }
  medians[name] = found.sort((one, other) => one - other)[Math.floor(found.length / 2)];
}
console.log(JSON.stringify(medians));
