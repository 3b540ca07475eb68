/** The note of all tabs of a browser about the state on the server. */
import { isRecord, parseJson } from "./definition";
import { readItem, removeItem, tryWriteItem } from "./local-storage";

export interface Note {
  /** The timestamp of the state that the server has acknowledged. */
  acknowledged?: number;
  /** The time of a clear that the server has not followed yet. */
  deletedAt?: number;
}

export function noteKeyOf(key: string): string {
  return `${key}-server`;
}

export class SyncNote {
  readonly #key: string;

  constructor(key: string) {
    this.#key = noteKeyOf(key);
  }

  read(): Note {
    const note = parseJson(readItem(this.#key) ?? "");
    if (!isRecord(note)) return {};
    const { acknowledged, deletedAt } = note;
    return {
      ...(typeof acknowledged === "number" && { acknowledged }),
      ...(typeof deletedAt === "number" && { deletedAt }),
    };
  }

  write(note: Note): void {
    tryWriteItem(this.#key, JSON.stringify(note));
  }

  remove(): void {
    removeItem(this.#key);
  }
}
