/** A value that JSON has. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A visitor of the page, or of another page with the same live states. */
export interface Visitor {
  readonly id: string;
  readonly by: string;
  /** When the visitor came, in milliseconds since the epoch. */
  readonly since: number;
  readonly presence: { readonly [name: string]: Json } | null;
}

/** A change that was refused, and that had no effect. */
export interface Refused extends Error {
  readonly code: string;
  readonly path?: readonly (string | number)[];
  /** The value that stood there, for a conflict. */
  readonly found?: Json;
}

/** The items of the rows around an element, by the names that `data-live-each` gives them. */
export interface Scope {
  readonly [name: string]: any;
}

/** Handles an event that an attribute binds. */
export type Handler = (event: Event, scope: Scope) => void;

/** The line to the server. */
export interface Live extends EventTarget {
  readonly status: "connecting" | "online" | "offline" | "refused";
  /** The number of own changes without an answer. */
  readonly pending: number;
  readonly visitors: readonly Visitor[];
  /** The name that the server has given to the visitor of this page. */
  readonly by: string | null;
  /** Resolves when the shared states have come. */
  readonly ready: Promise<void>;
  /** Wait until each own change has its answer. */
  settled(): Promise<void>;
  /** Show a value of at most 1 KiB to the other visitors, or nothing. */
  present(value: { [name: string]: Json } | null): void;
  addEventListener(
    type: "refused",
    listener: (event: CustomEvent<Refused>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: "status" | "visitors" | "pending",
    listener: (event: Event) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener(
    type: "refused" | "status" | "visitors" | "pending",
    listener: (event: any) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}

/**
 * The states of everyone, by name. A module of yours can add their types:
 *
 *     declare module "/live/live.js" {
 *       interface Shared {
 *         readonly room: Room;
 *       }
 *     }
 */
export interface Shared {
  readonly [name: string]: any;
}

/** The states of this tab, by name. A module can add their types, as for `Shared`. */
export interface Local {
  readonly [name: string]: any;
}

export const shared: Shared;

export const local: Local;

export const live: Live;

/** Make one entry of all writes of a function. If it throws, nothing has changed. */
export function change<R>(run: () => R): R;

/** Add to a number. The sums of several writers all count. */
export function increment(of: object, key: string | number, by?: number): void;

/** Set a value whatever it was before, a counter too. */
export function replace<T extends object, K extends keyof T>(of: T, key: K, value: T[K]): void;

/** Remove the first element that equals a value. */
export function remove<T>(list: T[], value: NoInfer<T>): void;

/**
 * Run a function now, and again in a microtask when a value that it has read changes.
 *
 * @returns A function that stops it.
 */
export function effect(run: () => void): () => void;

/** Return a plain copy of a state, or of a part of it. */
export function snapshot<T>(of: T): T;

/**
 * Bind a part of the page that was added later: an element, and those below it.
 *
 * @returns A function that ends all of its bindings.
 */
export function bind(root: ParentNode, handlers?: Record<string, Handler>): () => void;
