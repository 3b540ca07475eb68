import { parseJson, readState, type Stamped, type StateDefinition } from "./definition";
import { readItem, removeItem } from "./local-storage";
import { Persistence, STATE_TTL_MS } from "./persistence";
import { versionKeyOf } from "./stored-state";
import { noteKeyOf } from "./sync-note";
import { postOnce } from "./tab-channel";

/** The persistences of one store: outside React, and one for each key. */
export class PersistenceRegistry<S extends Stamped> {
  readonly #persistences = new Map<string, Persistence<S>>();

  constructor(readonly definition: StateDefinition<S>) {}

  get(key: string): Persistence<S> {
    const persistence = this.find(key) ?? new Persistence(this.definition, key);
    this.#persistences.set(key, persistence);
    return persistence;
  }

  find(key: string): Persistence<S> | undefined {
    return this.#persistences.get(key);
  }

  /** Clear one key: if no component has used it, only in the storage and the other tabs. */
  clear(key: string): void {
    const persistence = this.find(key);
    if (persistence) {
      persistence.clear();
      return;
    }
    [key, versionKeyOf(key), noteKeyOf(key)].forEach(removeItem);
    postOnce({ key, kind: "cleared", at: Date.now() });
  }

  /** Return whether a valid state that has not expired is stored. */
  has(key: string): boolean {
    const reading = readState(this.definition, parseJson(readItem(key) ?? ""));
    return reading.kind === "state" && Date.now() - reading.state.timestamp <= STATE_TTL_MS;
  }
}
