// TypeScript must find an error in the line below each `@ts-expect-error`, and in no other.
import {
  bind, change, effect, increment, live, local, remove, replace, shared, snapshot,
} from "/live/live.js";
import type { Handler, Refused } from "/live/live.js";

interface Message {
  author: string;
  text: string;
}

interface ChatRoom {
  messages: Message[];
  score: number;
}

declare module "/live/live.js" {
  interface Shared {
    readonly chat_room: ChatRoom;
  }
  interface Local {
    readonly ui: { name: string; draft: string };
  }
}

const { chat_room: room } = shared;
const { ui } = local;

export const send: Handler = (event, { message }) => {
  event.preventDefault();
  room.messages.push({ author: ui.name, text: message.text });
  ui.draft = "";
};
// @ts-expect-error
export const late: Handler = (event: Event, scope: string) => {};

const sum: number = change(() => (room.score += 1));
increment(room, "score");
increment(shared.untyped.scores, sum, 2);
replace(room, "score", 0);
remove(room.messages, { author: "Ada", text: "hello" });
const copies: Message[] = snapshot(room.messages);
const stops: (() => void)[] = [effect(() => console.log(copies)), bind(document.body, { send })];

live.addEventListener("refused", ({ detail }) => {
  const { code, found }: Refused = detail;
  console.log(code, found);
});
live.addEventListener("visitors", () => console.log(live.visitors.map(({ by }) => by)));
live.present({ typing: true });
await live.settled();
live.status === "online" ? live.pending : stops.length;

// @ts-expect-error
room.score = "many";
// @ts-expect-error
room.messages.push("hello");
// @ts-expect-error
shared.chat_room = room;
// @ts-expect-error
ui.nothing;
// @ts-expect-error
replace(room, "score", "many");
// @ts-expect-error
replace(room, "scores", 0);
// @ts-expect-error
remove(room.messages, { author: "Ada" });
// @ts-expect-error
increment(room, "score", "2");
// @ts-expect-error
bind("#part");
// @ts-expect-error
live.present("typing");
// @ts-expect-error
live.status = "offline";
// @ts-expect-error
live.addEventListener("message", () => {});
// @ts-expect-error
live.visitors[0].name;
// @ts-expect-error
live.present({ since: new Date() });
