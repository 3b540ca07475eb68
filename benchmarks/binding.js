// Binds the same elements with each rival, and times it, in Chromium.

import { binder } from "/bind.js";
import { Store } from "/store.js";
import Alpine from "/alpine.js";
import { createApp, reactive as petiteReactive } from "/petite-vue.js";
import { effect as vueEffect, reactive as vueReactive } from "/vue.js";

const COUNT = 1000;
Alpine.start();

/** Values by name. Objects from JSON have the form that states have. */
const make = () =>
  JSON.parse(`{${Array.from({ length: COUNT }, (_, index) => `"t${index}": 0`)}}`);

function build(attribute, isOne) {
  const box = document.createElement("div");
  const name = (index) => `${attribute}="${attribute.startsWith("data") ? "ui." : ""}t${index}"`;
  const elements = Array.from({ length: COUNT }, (_, index) => `<b ${name(isOne ? 0 : index)}></b>`);
  box.innerHTML = elements.join("");
  document.body.append(box);
  return box;
}

/** Run in a microtask, once for a turn, as all of them do. */
function makeQueue() {
  const due = new Set();
  const flush = () => {
    for (const run of due) run();
    due.clear();
  };
  return (run) => {
    if (!due.size) queueMicrotask(flush);
    due.add(run);
  };
}

// Each binds a box, and returns the state to write to.
const rivals = {
  holdfast: {
    attribute: "data-live-text",
    bind(box) {
      const { proxies } = new Store({ ui: make() });
      binder(proxies)(box);
      return proxies.ui;
    },
  },
  "@vue/reactivity": {
    attribute: "title",
    bind(box) {
      const state = vueReactive(make());
      const queue = makeQueue();
      for (const element of box.children) {
        const name = element.title;
        const run = vueEffect(() => (element.textContent = state[name]), {
          scheduler: () => queue(run),
        });
      }
      return state;
    },
  },
  "petite-vue": {
    attribute: "v-text",
    bind(box) {
      const state = petiteReactive(make());
      createApp(state).mount(box);
      return state;
    },
  },
  Alpine: {
    attribute: "x-text",
    bind(box) {
      const state = Alpine.reactive(make());
      Alpine.data("bench", () => state);
      box.setAttribute("x-data", "bench");
      Alpine.initTree(box);
      return state;
    },
  },
  "plain text nodes": {
    attribute: "title",
    bind(box) {
      const elements = new Map();
      for (const element of box.children)
        elements.set(element.title, [...(elements.get(element.title) ?? []), element]);
      return new Proxy({}, {
        set(_, name, value) {
          for (const element of elements.get(name)) element.textContent = value;
          return true;
        },
      });
    },
  },
};

/** Wait until the last element shows a value, and return the milliseconds since `start`. */
async function shown(box, value, start) {
  for (let turn = 0; box.lastChild.textContent !== String(value); turn++) {
    if (turn > 10_000) throw Error("It does not show the value");
    await null;
  }
  return performance.now() - start;
}

let value = 0;

/** Return the milliseconds of one rival: the best of some passes, as other programs run too. */
export async function measure(name) {
  const { attribute, bind } = rivals[name];
  const best = {};
  const note = (title, time) => (best[title] = Math.min(best[title] ?? Infinity, time));
  for (const isOne of [false, true, false, true, false, true]) {
    const box = build(attribute, isOne);
    const began = performance.now();
    const state = bind(box);
    if (!isOne) note("start", performance.now() - began);
    for (let pass = 0; pass < 3; pass++) {
      value += 1;
      const start = performance.now();
      for (let index = 0; index < (isOne ? 1 : COUNT); index++) state[`t${index}`] = value;
      note(isOne ? "one value" : "1,000 values", await shown(box, value, start));
    }
    if (name === "Alpine") Alpine.destroyTree(box);
    box.remove();
  }
  return best;
}

export const names = Object.keys(rivals);
