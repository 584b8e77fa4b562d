/* Notices a connection that is open and yet dead: nothing has come over it for too long. */

/* The server breaks its silence every 15 s and we ping every 20 s: 35 s miss both, with room for a slow network. */
export const SILENCE_MS = 35_000;

export class Watchdog {
  #onSilence;
  #timers;
  #timer = null;

  constructor(onSilence, timers = globalThis) {
    this.#onSilence = onSilence;
    this.#timers = timers;
  }

  /** Something came (or the connection has begun). `within`: how long the next thing may take. */
  touch(within = SILENCE_MS) {
    this.stop();
    this.#timer = this.#timers.setTimeout(() => {
      this.#timer = null;
      this.#onSilence();
    }, within);
  }

  stop() {
    if (this.#timer !== null) this.#timers.clearTimeout(this.#timer);
    this.#timer = null;
  }
}
