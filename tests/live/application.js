import { change, local, shared } from "/live/live.js";

const { board } = shared;

/** Add a card, and tell it in the news: both or neither. */
export function add(event, { column }) {
  change(() => {
    column.cards.push({ id: crypto.randomUUID(), title: local.ui.draft });
    board.news.push(`${local.ui.draft} in ${column.name}`);
  });
  local.ui.draft = "";
}

export function tag(event, { card }) {
  card.tags.push(local.ui.draft);
}

export function drop(event, { column, card }) {
  column.cards.splice(column.cards.indexOf(card), 1);
}

export function reshape() {
  const isCircle = board.shape.radius !== undefined;
  board.shape = isCircle
    ? { __type__: "Square", value: { side: 2 } }
    : { __type__: "Circle", value: { radius: 3 } };
}
