/** Binds elements to states. Attributes are parsed, never run as code. */

import { effect, increment, replace, touch, track } from "./store.js";

const NAME = "[\\p{L}_$][\\p{L}\\p{N}_$]*";
const PATH = `(${NAME}(?:\\.(?:${NAME}|\\d+))*)`;
const LITERAL = "(-?\\d+(?:\\.\\d+)?|'(?:[^'\\\\]|\\\\.)*'|true|false|null)";
const parseExpression = grammar(
  `${LITERAL}|(!?)\\s*${PATH}|${PATH}\\s*([=!]=|[<>]=?)\\s*${LITERAL}`,
  "a path, !path, or a path compared with a literal",
);
const parseAction = grammar(
  `(${NAME})|${PATH}\\s*(?:=(?!=)(.+)|([-+])=\\s*(\\d+(?:\\.\\d+)?))`,
  'a handler, "path = value", or "path += number"',
);
const parseEach = grammar(
  `(${NAME})\\s+of\\s+${PATH}(?:\\s+by\\s+(${NAME}))?`,
  '"item of path" or "item of path by key"',
);
const ATTRIBUTE = /^data-live-((?:attr|class|on)-(?=.)|.*)(.*)/;
const URL_NAME = /(href|src|srcset|action|poster|cite|^data|background|ping|manifest)$/;
let line;

function grammar(pattern, expected) {
  const expression = new RegExp(`^\\s*(?:${pattern})\\s*$`, "su");
  const known = new Map();
  return (text) => {
    const found = known.get(text) ?? expression.exec(text);
    if (!found) throw Error(`expected ${expected}`);
    if (/\b(__proto__|constructor|prototype)\b/.test(text.replace(/'.*'/s, "")))
      throw Error("a name is not allowed");
    known.set(text, found);
    return found;
  };
}

const toLiteral = (text) =>
  text[0] === "'" ? text.slice(1, -1).replace(/\\(.)/gs, "$1") : JSON.parse(text);

const toText = (value) =>
  value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);

function compare(left, operator, right) {
  if (!operator || left === undefined) return left;
  if (operator === "!") return !left;
  if (operator === "!=") return left !== right;
  const order = left === right ? "=" : left < right ? "<" : ">";
  return typeof left === typeof right && operator.includes(order);
}

const isSafeUrl = (text) =>
  !/^[\0- ]*(?!(https?|mailto|tel):)[a-z][a-z\d+.-]*:/i.test(text.replace(/[\t\n\r]/g, ""));

function nodesOf({ first, last }) {
  const nodes = [first];
  while (nodes.at(-1) !== last) nodes.push(nodes.at(-1).nextSibling);
  return nodes;
}

function insertAfter(place, nodes) {
  const { parentNode: parent, nextSibling: next } = place;
  // It keeps the focus.
  const isMove = parent.moveBefore && place.isConnected && nodes[0].isConnected;
  for (const node of nodes) parent[isMove ? "moveBefore" : "insertBefore"](node, next);
}

class Row {}

const stopAll = (stops) => stops.forEach((stop) => stop());
const shownIn = (name) => document.querySelectorAll(`body [data-live-${name}]`);

export function showStatus(status) {
  line = document.documentElement.dataset.liveStatus = status;
  for (const element of shownIn("status")) element.setAttribute("data-live-status", (element.textContent = line));
}

export function showRefusal({ message }) {
  for (const element of shownIn("refused")) element.textContent = message;
}

export function log(text) {
  for (const element of shownIn("log")) {
    element.append(Object.assign(document.createElement("div"), { textContent: text }));
    if (element.childNodes.length > 200) element.firstChild.remove();
  }
}

export function binder(states) {
  const bound = new WeakMap(); // the handlers of each element
  let isMoving = false;

  /** Bind an attribute. A scope has the rows around the element, by the name of their item. */
  function bindOne(element, { name: attribute, value: source }, scope, stops) {
    const [, kind, name] = ATTRIBUTE.exec(attribute);
    const fail = ({ message }) => console.error(`${attribute}="${source}": ${message}`, element);
    const guard = (run) => (...given) => {
      try {
        run(...given);
      } catch (error) {
        fail(error);
      }
    };

    function toPath(text) {
      const [first, ...keys] = text.split(".");
      if (scope[first]) return [scope[first], ...(String(keys) === "index" ? [] : ["value"]), ...keys];
      if (Object.hasOwn(states, first)) return [states[first], ...keys];
      throw Error(`there is no state ${first}, only ${Object.keys(states).join(", ")}`);
    }

    function read(path) {
      let [value, key] = path;
      if (value instanceof Row) track(value, key);
      // Undefined before the snapshot: elements keep their content.
      if (key && value[key] === undefined) return;
      for (let depth = 1; depth < path.length; depth++) value = value?.[path[depth]];
      return typeof value === "function" ? null : (value ?? null);
    }

    function parse(text) {
      const [, literal, not, plain, compared, operator = not, right] = parseExpression(text);
      if (literal) return () => toLiteral(literal);
      const path = toPath(plain ?? compared);
      const other = compared && toLiteral(right);
      return () => compare(read(path), operator, other);
    }

    const follow = (run, notify) => stops.push(effect(guard(run), notify));

    function show(write) {
      const evaluate = parse(source);
      follow(() => {
        const value = evaluate();
        if (value !== undefined) write(value);
      });
    }

    function listen(type, run) {
      element.addEventListener(type, run);
      stops.push(() => element.removeEventListener(type, run));
    }

    const assign = guard((path, write, value) => {
      const of = path.length > 1 && read(path.slice(0, -1));
      if (typeof of !== "object" || !of) throw Error("this cannot be set");
      write(of, path.at(-1), value);
    });

    function bindAttribute() {
      if (/^(on.*|style|srcdoc)$/.test(name)) throw Error(`a state must not set ${name}`);
      show((value) => {
        if (/^aria-/.test(name) && value !== null) value = String(value);
        const text = value === true ? "" : toText(value);
        const isSafe = !URL_NAME.test(name) || isSafeUrl(text);
        if (value === null || value === false || !isSafe) element.removeAttribute(name);
        else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
        if (!isSafe) throw Error(`${JSON.stringify(text)} is not a safe URL`);
      });
    }

    function bindText() {
      let shown = element.textContent;
      show((value) => {
        const text = toText(value);
        if (text !== shown) element.textContent = shown = text;
      });
    }

    function bindInput() {
      const { type } = element;
      const [, , not, plain] = parseExpression(source);
      if (!plain || not) throw Error("expected a path");
      const path = toPath(plain);
      if (!element.matches("input, select, textarea") || type === "file")
        throw Error("expected an input");
      const property = type === "checkbox" ? "checked" : "value";
      const isChoice = /^(radio|select-one)$/.test(type);
      let isNumber = /^(number|range)$/.test(type);
      let isForced = true;

      const current = () => (isNumber ? parseFloat(element.value) : element[property]);
      const display = () => {
        const value = read(path);
        if (value === undefined || (!isForced && document.activeElement === element)) return;
        isForced = false;
        if (isChoice) isNumber = typeof value === "number";
        if (type === "radio") element.checked = element.value === toText(value);
        else if (current() !== value) element[property] = property === "value" ? toText(value) : value;
      };
      const force = () => {
        isForced = true;
        display();
      };
      const send = ({ isComposing }) => {
        const value = current();
        if (isComposing || Number.isNaN(value) || (type === "radio" && !element.checked)) return;
        assign(path, replace, value);
      };
      // Values of others wait until the focus goes.
      follow(display, (isOwn) => (isForced ||= isOwn && !isMoving));
      listen("input", send);
      listen("compositionend", send);
      listen("blur", force);
      const options = new MutationObserver(force); // options may come later
      if (isChoice) options.observe(element, { childList: true, subtree: true });
      stops.push(() => options.disconnect());
    }

    function bindEvent() {
      const [, handler, target, text, sign, number] = parseAction(source);
      const path = target && toPath(target);
      const evaluate = text && parse(text);
      listen(name, (event) => {
        if (name === "submit") event.preventDefault();
        if (sign) return assign(path, increment, Number(sign + number));
        if (evaluate) return assign(path, replace, evaluate());
        const items = {};
        for (const item in scope) items[item] = scope[item].value;
        const call = bound.get(element)?.[handler];
        if (call) call(event, items);
        else fail(Error("there is no such handler: export it"));
      });
    }

    function bindRows() {
      if (element.localName !== "template") throw Error("expected a <template>");
      const [, item, text, by] = parseEach(source);
      const path = toPath(text);
      let rows = [];

      function make(key, value, index) {
        const content = document.importNode(element.content, true);
        // A template at the end has rows behind it.
        if (content.lastChild?.nodeType !== Node.TEXT_NODE) content.append("");
        const { firstChild: first, lastChild: last } = content;
        const row = Object.assign(new Row(), { key, value, index, first, last });
        const inner = Object.assign(Object.create(scope), { [item]: row });
        return Object.assign(row, { stops: bindTree(content, inner, bound.get(element)) });
      }

      function drop(row) {
        stopAll(row.stops);
        for (const node of nodesOf(row)) node.remove();
      }

      function update(row, key, value) {
        if (row[key] === value) return;
        row[key] = value;
        touch(row, key);
      }

      follow(() => {
        const list = read(path);
        if (list === undefined) return;
        if (list && !Array.isArray(list)) throw Error(`${text} is not a list`);
        const old = Map.groupBy(rows, (row) => row.key); // rows may have equal values
        isMoving = true;
        rows = Array.from(list ?? [], (value, index) => {
          const key = by ? value?.[by] : value;
          const row = old.get(key)?.shift() ?? make(key, value, index);
          update(row, "value", value);
          update(row, "index", index);
          return row;
        });
        isMoving = false;
        [...old.values()].flat().forEach(drop);
        let last = element;
        for (const row of rows) {
          if (last.nextSibling !== row.first) insertAfter(last, nodesOf(row));
          last = row.last;
        }
      });
      stops.push(() => rows.splice(0).forEach(drop));
    }

    const kinds = {
      text: bindText,
      show: () => show((value) => element.toggleAttribute("hidden", !value)),
      "class-": () => show((value) => element.classList.toggle(name, !!value)),
      "attr-": bindAttribute,
      model: bindInput,
      "on-": bindEvent,
      each: bindRows,
      status: () => element === document.documentElement || (element.textContent = line),
      refused: () => (element.role ??= "status"),
      log() {},
    };
    if (Object.hasOwn(kinds, kind)) guard(kinds[kind])();
    else fail(Error("there is no such attribute"));
  }

  function bindTree(root, scope, handlers) {
    const stops = [];
    const elements = [...root.querySelectorAll("*")];
    if (root instanceof Element) elements.unshift(root);
    // Children come first: a select can show a value when it has its options.
    for (const element of elements.reverse()) {
      const attributes = [...element.attributes].filter(({ name }) => name.startsWith("data-live-"));
      if (bound.has(element)) Object.assign(bound.get(element), handlers);
      else if (attributes.length) {
        bound.set(element, handlers);
        stops.push(() => bound.delete(element));
        for (const attribute of attributes) bindOne(element, attribute, scope, stops);
      }
    }
    return stops;
  }

  /** Bind an element and those below it; those that are bound already get the handlers only. */
  return function bind(root, handlers) {
    const stops = bindTree(root, Object.create(null), { __proto__: null, ...handlers });
    return () => stopAll(stops);
  };
}
