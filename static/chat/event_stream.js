/* One followed generation over HTTP: at most one connection at a time, watched for silence. */

import { Backoff } from "./backoff.js";
import { SseDecoder } from "./sse_decoder.js";
import { Watchdog } from "./watchdog.js";

export class EventStream {
  abandoned = false;
  #abort = null;
  #timers;
  #watchdog;
  #wake = () => {};

  constructor(generation, reader, timers, random) {
    this.generation = generation;
    this.reader = reader;
    this.backoff = new Backoff(random);
    this.#timers = timers;
    this.#watchdog = new Watchdog(() => this.#abort?.abort(), timers);
  }

  /** A connection for `read`, or null when the server has nothing after the cursor. */
  async connect(api) {
    this.#abort = new AbortController();
    this.#watchdog.touch();
    const response = await api.open("GET", `/generations/${this.generation}/events`, {
      headers: { Accept: "text/event-stream", "Last-Event-ID": String(this.reader.cursor) },
      signal: this.#abort.signal,
    });
    if (response.status === 204) return null;
    return { abort: this.#abort, body: response.body.getReader(), decoder: new SseDecoder(), events: [] };
  }

  /** Delivers until the connection or the reply is over. */
  async read({ abort, body, decoder, events }) {
    this.#abort = abort;
    try {
      let more = this.#deliver(events);
      while (more) {
        this.#watchdog.touch();
        const { done, value } = await body.read();
        more = !done && this.#deliver(decoder.decode(value));
      }
    } finally {
      this.#watchdog.stop();
      abort.abort();
    }
  }

  pause(delay) {
    return new Promise((resolve) => {
      const timer = this.#timers.setTimeout(resolve, delay);
      this.#wake = () => {
        this.#timers.clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends a pause. */
  wake() {
    this.#wake();
  }

  abandon() {
    this.abandoned = true;
    this.#watchdog.stop();
    this.#abort?.abort();
    this.#wake();
  }

  #deliver(events) {
    for (const { event, data, id } of events) {
      if (event === "ping") continue;
      this.backoff.reset();
      const going = this.reader.event(event, Number(id), JSON.parse(data));
      if (!going || this.abandoned) return false;
    }
    return !this.abandoned;
  }
}
