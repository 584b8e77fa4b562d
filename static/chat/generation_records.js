/* Fetches the records of generations that have ended before the page came: their errors, their upstreams, their tokens. */

export const AT_ONCE = 2; // of the six connections that a browser opens to a host; the replies come first

export class GenerationRecords {
  #api;
  #onLoaded;
  #waiting = [];
  #asked = new Set();
  #running = 0;

  constructor({ api, onLoaded }) {
    this.#api = api;
    this.#onLoaded = onLoaded;
  }

  /** Fetches a message's record once; what can't be fetched stays unknown. */
  want(message) {
    const { generation, role, reply, record } = message;
    if (role !== "assistant" || !generation || reply || record || message.isLive || this.#asked.has(generation)) return;
    this.#asked.add(generation);
    this.#waiting.push(message);
    this.#next();
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) {
      this.#running++;
      // The newest first: that is where the reader is.
      this.#fetch(this.#waiting.pop()).finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  async #fetch(message) {
    const { generation } = message;
    try {
      const record = await this.#api.generation(generation);
      if (message.generation !== generation) return;
      message.record = record;
      this.#onLoaded(message);
    } catch {
      this.#asked.delete(generation);
    }
  }
}
