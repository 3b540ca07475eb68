// A replica of a small game, for tests that play its server.
import { Refused, Replica } from "./static.mjs";

export const CLIENT = "abcdefghijklmnopqrstuv";
export const MARKS = {
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
export const VALUES = {
  score: 0, plain: 0, name: "x", tags: ["a", "b", "c"], last: ["a", "b"], scores: {}, of: { x: 1 },
  todos: [{ id: 1, text: "one", votes: 0 }, { id: 2, text: "two", votes: 0 }],
  rows: [[1], [2]], plainRows: [{ n: 1 }, { n: 2 }], secret: { n: 1 },
};

export const snapshotMessage = (game, more) => ({
  type: "snapshot", epoch: "e", seq: 0, states: { game: structuredClone(game) }, last: 0, outcomes: {},
  limits: {}, by: "", client: CLIENT, ...more,
});

/** A replica, and the part of its server in the test. */
export class Line {
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

export const refusal = (code) => (error) => error instanceof Refused && error.code === code;
