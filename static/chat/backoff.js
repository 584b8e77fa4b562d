/* How long to wait before the next attempt: exponential, half of it random, so that a thousand tabs do not come back at once. */

export const FIRST_DELAY_MS = 500; // a server that restarts is often back within a second
export const LONGEST_DELAY_MS = 15_000; // long enough to spare a server in trouble, short enough to wait for

export class Backoff {
  #attempt = 0;
  #random;

  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Milliseconds before the next attempt; `atLeast` is what the server asked for. */
  next(atLeast = 0) {
    const whole = Math.min(FIRST_DELAY_MS * 2 ** this.#attempt, LONGEST_DELAY_MS);
    this.#attempt = Math.min(this.#attempt + 1, 16);
    return Math.max(whole / 2 + (whole / 2) * this.#random(), atLeast);
  }

  reset() {
    this.#attempt = 0;
  }
}
