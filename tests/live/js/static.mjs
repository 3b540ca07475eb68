// The modules for browsers, from the emitted package.
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.env.LIVE_STATIC}/`);
const load = (name) => import(new URL(name, folder).href);

export const { apply, equal, Refused, toJson, treesOf } = await load("operations.js");
export const { become, change, effect, increment, remove, replace, Replica, snapshot, Store } =
  await load("store.js");
export const { Connection } = await load("connection.js");
export const { openLocals } = await load("local.js");
