/* The server over HTTP: a send's answer is its event stream; a stream that breaks goes on with GET …/events from the cursor. */

import { ApiError, NETWORK } from "./api.js";
import { Backoff } from "./backoff.js";
import { EventStream } from "./event_stream.js";
import { SseDecoder } from "./sse_decoder.js";
import { Watchdog } from "./watchdog.js";

export const SEND_MS = 20_000; // how long a send is tried again before the person is asked

export class SseTransport {
  name = "sse";
  #api;
  #timers;
  #random;
  #onState;
  #streams = new Map();

  /** `api`: see Api. `onState({state, retryAt})`: connected, reconnecting, closed. */
  constructor({ api, onState = () => {}, timers = globalThis, random = Math.random }) {
    this.#api = api;
    this.#onState = onState;
    this.#timers = timers;
    this.#random = random;
  }

  // Lifecycle

  open() {
    this.#onState({ state: "connected" });
  }

  close() {
    for (const generation of [...this.#streams.keys()]) this.unsubscribe(generation);
    this.#onState({ state: "closed" });
  }

  /** The network or the page has come back: waiting streams don't wait any longer. */
  wake() {
    for (const stream of this.#streams.values()) stream.wake();
  }

  // Commands

  /** As WebSocketTransport.send; the messages' ids are missing when a known key is answered from the record. */
  async send(fields, begin) {
    const backoff = new Backoff(this.#random);
    const deadline = Date.now() + SEND_MS;
    for (;;) {
      try {
        return await this.#post(fields, begin);
      } catch (error) {
        const delay = backoff.next();
        if (error.code !== NETWORK || Date.now() + delay > deadline) throw error;
        this.#onState({ state: "reconnecting", retryAt: Date.now() + delay });
        await new Promise((resolve) => this.#timers.setTimeout(resolve, delay));
      }
    }
  }

  /** Stopping is a request of its own: see Api.stop. */
  stop() {
    return false;
  }

  subscribe(generation, reader) {
    this.unsubscribe(generation);
    this.#run(this.#stream(generation, reader));
  }

  unsubscribe(generation) {
    this.#streams.get(generation)?.abandon();
    this.#streams.delete(generation);
  }

  // Internal

  #stream(generation, reader) {
    const stream = new EventStream(generation, reader, this.#timers, this.#random);
    this.#streams.set(generation, stream);
    return stream;
  }

  async #post(fields, begin) {
    const abort = new AbortController();
    const watchdog = new Watchdog(() => abort.abort(), this.#timers);
    watchdog.touch();
    try {
      const headers = { Accept: "text/event-stream" };
      const response = await this.#api.open("POST", "/chat", { body: fields, headers, signal: abort.signal });
      const connection = { abort, body: response.body.getReader(), decoder: new SseDecoder(), events: [] };
      connection.events = await firstEvents(connection);
      this.#onState({ state: "connected" });
      const start = startOf(connection.events[0], response.headers);
      const reader = begin(start);
      if (reader) this.#run(this.#stream(start.generation, reader), connection);
      else abort.abort();
      return start;
    } finally {
      watchdog.stop();
    }
  }

  /** Until the reply has ended; `connection`: one that is open already. */
  async #run(stream, connection = undefined) {
    while (!stream.abandoned) {
      let wait = 0;
      try {
        connection ??= await stream.connect(this.#api);
        if (stream.abandoned) return;
        this.#onState({ state: "connected" });
        await (connection ? stream.read(connection) : stream.reader.ended());
      } catch (error) {
        if (stream.abandoned || error.status === 401) return;
        if (isFinal(error)) {
          stream.reader.lost(error);
          return;
        }
        wait = error.retryAfterMs ?? 0;
      }
      connection = undefined;
      if (stream.abandoned) return;
      const delay = stream.backoff.next(wait);
      this.#onState({ state: "reconnecting", retryAt: Date.now() + delay });
      await stream.pause(delay);
    }
  }
}

const isFinal = (error) => error.status >= 400 && error.status < 500 && error.status !== 429;

async function firstEvents({ body, decoder }) {
  for (;;) {
    const { done, value } = await body.read().catch(() => ({ done: true }));
    if (done) throw new ApiError();
    const events = decoder.decode(value).filter(({ event }) => event !== "ping");
    if (events.length) return events;
  }
}

function startOf(first, headers) {
  if (first.event === "start") return JSON.parse(first.data);
  return { generation: headers.get("X-Generation-Id"), conversation: headers.get("X-Conversation-Id") };
}
