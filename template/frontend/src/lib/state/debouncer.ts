/** Runs a function after a pause in the calls, or at the latest some time after the first. */
export class Debouncer {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #firstCall: number | null = null;

  constructor(readonly run: () => void) {}

  call(pauseMs: number, maxWaitMs: number): void {
    const now = performance.now(); // the time of day may be put back
    this.#firstCall ??= now;
    clearTimeout(this.#timer);
    const delay = Math.min(pauseMs, this.#firstCall + maxWaitMs - now);
    this.#timer = setTimeout(this.run, Math.max(delay, 0));
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#firstCall = null;
  }
}
