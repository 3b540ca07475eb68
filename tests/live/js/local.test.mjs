import assert from "node:assert/strict";
import { test } from "node:test";

import { microtasks, openBrowser } from "./browser.mjs";
import { openLocals } from "./static.mjs";

const KEY = "shown:live:ui";
const config = (persist) => ({ ui: { values: { name: "Guest", draft: "", items: [], at: null }, persist } });

test("a local state is kept where it was asked for", async (context) => {
  for (const [persist, kept] of [[false, null], [true, "local"], ["tab", "session"]]) {
    await context.test(`persist=${persist}`, async (inner) => {
      const browser = openBrowser(inner);
      const { ui } = openLocals(config(persist));
      browser.pass(200);
      assert.equal(browser.local.items.size + browser.session.items.size, 0);
      ui.name = "Ada";
      await microtasks();
      browser.pass(50);
      ui.items.push(1);
      await microtasks();
      assert.equal(browser.local.items.size + browser.session.items.size, 0);
      browser.pass(50);
      const saved = kept ? browser[kept].getItem(KEY) : null;
      const expected = { name: "Ada", draft: "", items: [1], at: null };
      assert.deepEqual(JSON.parse(saved), kept ? expected : null);
      if (kept) assert.deepEqual(JSON.parse(JSON.stringify(openLocals(config(persist)).ui)), expected);
    });
  }
});

test("a state is saved when the page is left, once, and only by a tab that has changed it", async (context) => {
  const browser = openBrowser(context);
  const [one, other] = [openLocals(config(true)).ui, openLocals(config(true)).ui];
  one.draft = "x";
  browser.fire("pagehide");
  assert.equal(JSON.parse(browser.local.getItem(KEY)).draft, "x");
  assert.equal(other.draft, "");
  browser.local.setItem(KEY, "untouched");
  browser.fire("pagehide");
  browser.pass(200);
  assert.equal(browser.local.getItem(KEY), "untouched");
});

test("fields are restored one by one: a wrong type and an unknown name are dropped", (context) => {
  const browser = openBrowser(context);
  context.mock.method(console, "warn", () => {});
  const restored = (saved) => {
    browser.local.setItem(KEY, typeof saved === "string" ? saved : JSON.stringify(saved));
    return JSON.parse(JSON.stringify(openLocals(config(true)).ui));
  };
  const first = config(true).ui.values;
  assert.deepEqual(restored({ name: 5, draft: "x", items: {}, at: [1], more: 1 }), { ...first, draft: "x", at: [1] });
  assert.deepEqual(restored({ name: null, items: [1] }), { ...first, items: [1] });
  assert.deepEqual(restored('{"__proto__": {"name": "x"}, "at": {"__proto__": 1}}'), first);
  for (const damaged of ["{", "null", "[]", "3", '"text"']) assert.deepEqual(restored(damaged), first);
});

test("a storage that is full or forbidden costs a warning", async (context) => {
  const browser = openBrowser(context);
  const warnings = context.mock.method(console, "warn", () => {});
  browser.local.isBroken = true;
  const { ui } = openLocals(config(true));
  assert.equal(warnings.mock.callCount(), 1);
  ui.name = "Ada";
  await microtasks();
  browser.pass(100);
  assert.equal(warnings.mock.callCount(), 2);
  assert.equal(ui.name, "Ada");
});
