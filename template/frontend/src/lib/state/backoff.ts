const FIRST_MS = 250;
const LIMIT_MS = 30_000;

/** Runs a function again after a failure: later each time, and not with all clients at once. */
export class Backoff {
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly run: () => void) {}

  schedule(): void {
    const delay = Math.min(FIRST_MS * 2 ** this.#failures, LIMIT_MS);
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.run, delay * (0.5 + Math.random() / 2));
  }

  /** Cancel the next run, and begin with short pauses again. */
  reset(): void {
    this.#failures = 0;
    clearTimeout(this.#timer);
  }
}
