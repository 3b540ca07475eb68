/** Runs the client functions of a page in Pyodide. */

import { toJson } from "./operations.js";

const bridge = {
  get: (of, key) => of[key] ?? undefined,
  has: (of, key) => Object.hasOwn(of, key),
  isList: Array.isArray,
  toJson: (of) => JSON.stringify(of),
  copy: (of) => JSON.stringify(toJson(of)),
  set: (of, key, json) => void (of[key] = JSON.parse(json)),
  delete: (of, key) => void delete of[key],
  splice: (list, start, count, json) => void list.splice(start, count, ...JSON.parse(json)),
  sort: (list, compare) => void list.sort(compare),
  reverse: (list) => void list.reverse(),
};

export function python({ functions, pyodide }, { live, states, log }) {
  const waiting = [];
  let call = (...given) => {
    if (waiting.length < 100) waiting.push(given);
    else console.warn(`100 events wait for Python: ${given[0]}() is not called`);
  };

  async function load() {
    const indexURL = new URL(pyodide, location.href).href;
    const { loadPyodide } = await import(`${indexURL}pyodide.mjs`);
    // Python blocks the page for seconds.
    await live.ready;
    const show = (write) => (line) => (write(line), log(line));
    const stdout = show(console.log);
    const runtime = await loadPyodide({ indexURL, stdout, stderr: show(console.error) });
    const facade = await fetch(new URL("facade.py", import.meta.url));
    runtime.runPython(await facade.text());
    const run = runtime.globals.get("start")(bridge, states, JSON.stringify(functions));
    call = (name, ...given) => {
      try {
        run(name, ...given);
      } catch (error) {
        console.error(`${name}(): ${error.message}`);
      }
    };
    for (const given of waiting) call(...given);
  }

  load().catch((error) => {
    const advice = `Python did not start: ${pyodide} needs Pyodide, see "make pyodide"`;
    console.error(advice, error);
    log(advice);
    call = (name) => console.error(`${name}() is not called: ${advice}`);
  });
  const handle = (name) => (event, items) => {
    const { type, key, target } = event;
    const { value, checked } = target;
    const preventDefault = () => event.preventDefault();
    // Python may be too late to keep the browser on the page.
    if (type === "submit" || (type === "click" && target.closest("a"))) preventDefault();
    call(name, { type, key, target: { value, checked }, preventDefault }, items);
  };
  return Object.fromEntries(Object.keys(functions).map((name) => [name, handle(name)]));
}
