/* The replies of a conversation that are being written: each has one follower, and all read over the same transport. */

import { textBefore } from "./continuation.js";
import { Follower } from "./follower.js";
import { Reply, isLive } from "./reply.js";

export class LiveReplies {
  #api;
  #transport;
  #onChange;
  #followers = new Map();
  #closed = false;

  /** `onChange(message, reply)` after whatever has changed. */
  constructor({ api, transport, onChange }) {
    this.#api = api;
    this.#transport = transport;
    this.#onChange = onChange;
  }

  has(generation) {
    return this.#followers.has(generation);
  }

  moveTo(transport) {
    this.#transport = transport;
    for (const follower of this.#followers.values()) follower.follow(transport);
  }

  close() {
    this.#closed = true;
    for (const follower of this.#followers.values()) follower.close();
    this.#followers.clear();
  }

  /** From the beginning. `base`: the text before this generation. `delivered`: the transport that sent it delivers already. */
  follow(message, { start = {}, base = "", baseReasoning = "", delivered = false }) {
    const { generation } = message;
    const reply = new Reply({ generation, message: message.id, base, baseReasoning });
    reply.describe(start);
    message.reply = reply;
    const onChange = () => this.#changed(message, reply);
    const follower = new Follower(reply, { api: this.#api, onChange });
    this.#followers.set(generation, follower);
    if (delivered) follower.adopt(this.#transport);
    else follower.follow(this.#transport);
    return follower;
  }

  /** A message of the record that is still being written: found after a reload, or begun elsewhere. Raises ApiError. */
  async takeUp(message) {
    const { generation, stored } = message;
    if (!isLive(stored.status) || !generation || this.has(generation) || message.reply?.ended) return;
    const before = {};
    if (stored.text || stored.reasoning) {
      const own = await this.#api.generation(generation);
      before.base = textBefore(stored.text, own.text);
      before.baseReasoning = textBefore(stored.reasoning ?? "", own.reasoning ?? "");
    }
    if (!this.#closed && !this.has(generation)) this.follow(message, before);
  }

  /** Raises ApiError. */
  async stop(generation) {
    if (this.#transport.stop(generation)) return;
    const record = await this.#api.stop(generation);
    this.#followers.get(generation)?.settle(record);
  }

  #changed(message, reply) {
    if (reply.ended) this.#followers.delete(reply.generation);
    this.#onChange(message, reply);
  }
}
