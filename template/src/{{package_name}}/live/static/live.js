/** The live states of a page. */

import { binder, log, showRefusal, showStatus } from "./bind.js";
import { Connection } from "./connection.js";
import { openLocals } from "./local.js";
import { Replica } from "./store.js";

export { change, effect, increment, remove, replace, snapshot } from "./store.js";

const config = JSON.parse(document.getElementById("live").textContent);
const replica = new Replica(config.shared);

export const shared = replica.proxies;
export const local = openLocals(config.local);
export const live = new Connection(replica, new URL(`${config.path}/ws`, location.href.replace("http", "ws")));

const states = { ...shared, ...local };
const bindTo = binder(states);
const handlers = {};

export const bind = (root, more) => bindTo(root, { ...handlers, ...more });

replica.onRefused = (refused) => {
  const event = new CustomEvent("refused", { detail: refused, cancelable: true });
  if (!live.dispatchEvent(event)) return;
  console.warn(`${refused.code}: ${refused.message}`);
  showRefusal(refused);
};
live.addEventListener("status", () => showStatus(live.status));

async function start() {
  showStatus(live.status);
  live.open();
  bind(document);
  try {
    if (Object.keys(config.functions).length) {
      const { python } = await import("./python.js");
      Object.assign(handlers, python(config, { live, states, log }));
    }
    // Not above: the script imports this module.
    if (config.script) Object.assign(handlers, await import(new URL(config.script, document.baseURI).href));
  } catch (error) {
    console.error(error);
  }
  bind(document);
}

start();
