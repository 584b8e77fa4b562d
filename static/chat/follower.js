/* Follows one generation to its end, over whichever transport is in use: a reader with a cursor. */

import { Backoff } from "./backoff.js";
import { GAP, isLive } from "./reply.js";

export class Follower {
  #api;
  #onChange;
  #transport = null;
  #closed = false;

  /** `onChange(reply)` after whatever has changed. */
  constructor(reply, { api, onChange }) {
    this.reply = reply;
    this.#api = api;
    this.#onChange = onChange;
  }

  // What a conversation asks of it

  /** Reads over this transport from now on, from the cursor. */
  follow(transport) {
    if (this.#closed || this.reply.ended) return;
    this.#leave();
    this.#read(transport);
    transport.subscribe(this.reply.generation, this);
  }

  /** A transport that has just sent the message delivers already. */
  adopt(transport) {
    this.#read(transport);
  }

  settle(record) {
    this.reply.settle(record);
    this.#changed();
  }

  close() {
    this.#closed = true;
    this.#leave();
  }

  // What a transport tells it

  get cursor() {
    return this.reply.seq;
  }

  /** Returns false when the transport is to ask again from the cursor. */
  event(name, seq, data) {
    const outcome = this.reply.apply(name, seq, data);
    if (outcome === GAP) return false;
    this.#changed();
    return true;
  }

  /** The server has nothing after the cursor. Resolves when this is settled, or when the transport may ask again. */
  async ended() {
    const backoff = new Backoff();
    while (!this.#closed && !this.reply.ended) {
      try {
        const record = await this.#api.generation(this.reply.generation);
        if (isLive(record.status)) return;
        this.settle(record);
      } catch (error) {
        if (error.status >= 400 && error.status < 500 && error.status !== 429) {
          this.lost(error);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, backoff.next(error.retryAfterMs)));
      }
    }
  }

  /** The server does not know it (any more). */
  lost(error) {
    this.reply.fail({ error: error.message, code: error.code, details: {}, retryable: true });
    this.#changed();
  }

  // Internal

  #read(transport) {
    this.#transport = transport;
    this.reply.transport = transport.name;
    this.#onChange(this.reply);
  }

  #changed() {
    if (this.reply.ended) this.#leave();
    if (!this.#closed) this.#onChange(this.reply);
  }

  #leave() {
    this.#transport?.unsubscribe(this.reply.generation);
    this.#transport = null;
  }
}
