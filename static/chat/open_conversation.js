/* The conversation that the page shows: its messages, what is on its way, and the replies that are being written. */

import { NETWORK } from "./api.js";
import { randomKey } from "./identifier.js";
import { LiveReplies } from "./live_replies.js";
import { Thread } from "./thread.js";

const PAGE = 200; // messages of one request: the most the API gives
const PAGES = 50; // ten thousand messages; a page that shows more would not be read

export class OpenConversation {
  thread = new Thread();
  pending = []; // {key, conversation, parent, text, provider, model, refused, sending, error, stopped}
  #api;
  #outbox;
  #transport;
  #on;
  #replies;
  #syncing = null;
  #syncWanted = false;
  #proceeded = 0; // how often an answer was asked to go on
  #closed = false;

  /** `on.change()`: messages came or went. `on.reply(message)`: one has grown or ended. `on.named(id)`: it exists now. */
  constructor({ id, api, outbox, transport, on }) {
    this.id = id;
    this.#api = api;
    this.#outbox = outbox;
    this.#transport = transport;
    this.#on = on;
    this.#replies = new LiveReplies({ api, transport, onChange: (message, reply) => this.#changed(message, reply) });
  }

  // Lifecycle

  /** Fetches and shows; takes up what is on its way. Raises ApiError. */
  async open() {
    if (this.id) await this.sync();
    for (const entry of this.#outbox.of(this.id)) {
      this.pending.push({ ...entry, sending: false, error: entry.refused ?? null });
    }
    this.#on.change();
    for (const entry of this.pending) if (!entry.refused) this.deliver(entry);
  }

  close() {
    this.#closed = true;
    this.#replies.close();
  }

  /** Everybody reads over this transport from now on. */
  moveTo(transport) {
    this.#transport = transport;
    this.#replies.moveTo(transport);
  }

  /** What the server has now; a send on its way is awaited first, or its message would show twice. */
  async sync() {
    if (!this.id || this.#closed) return;
    if (this.#syncing || this.pending.some(({ sending }) => sending)) {
      this.#syncWanted = true;
      return this.#syncing;
    }
    this.#syncWanted = false;
    this.#syncing = this.#fetch().finally(() => (this.#syncing = null));
    await this.#syncing;
    this.#syncIfWanted();
  }

  // Actions

  /** The message that is being answered on the branch shown, if any. */
  get running() {
    return this.thread.path().findLast((message) => message.isLive) ?? null;
  }

  get isSending() {
    return this.pending.some(({ sending }) => sending);
  }

  /** Shows the message at once, and sends it. Never raises: a failure stands beside the message. */
  send(text, { provider, model }) {
    const parent = this.thread.leaf?.id ?? null;
    const entry = { key: randomKey(), conversation: this.id, parent, text, provider, model, refused: null };
    this.pending.push(entry);
    return this.deliver(entry);
  }

  /** Sends what was not sent, under its old key. */
  async deliver(entry) {
    Object.assign(entry, { sending: true, error: null, refused: null, stopped: false });
    this.#outbox.put(stored(entry));
    this.#on.change();
    const { key, text, provider, model } = entry;
    const fields = { message: text, key, provider, model };
    if (this.id) fields.conversation = this.id;
    if (this.id && entry.parent) fields.parent = entry.parent;
    const transport = this.#transport;
    try {
      await transport.send(fields, (start) => this.#accepted(entry, start));
    } catch (error) {
      if (error.code === NETWORK && transport !== this.#transport && !this.#closed) return this.deliver(entry);
      entry.sending = false;
      entry.error = { code: error.code ?? "GENERATION_ERROR", error: error.message };
      // After a sign-in it goes out by itself.
      this.#outbox.put(error.status === 401 ? { ...stored(entry), refused: null } : stored(entry));
      this.#on.change();
    }
    this.#syncIfWanted();
  }

  /** Forgets a message that was not sent; returns its text. */
  discard(entry) {
    this.pending = this.pending.filter((other) => other !== entry);
    this.#outbox.remove(entry.key);
    this.#on.change();
    return entry.text;
  }

  /** Another answer to the same question, a sibling of the first. Raises ApiError. */
  async regenerate(message, choice) {
    this.#answer(await this.#api.regenerate(message.id, choice, randomKey()), message.parent);
  }

  /** The same answer goes on. Raises ApiError. */
  async proceed(message) {
    const start = await this.#api.proceed(message.id, randomKey());
    this.#proceeded += 1; // what is being fetched is older
    const { text, reasoning, images } = message;
    message.update({ ...message, generation: start.generation, text, reasoning, images, notes: [], status: "queued" });
    this.#replies.follow(message, { start, base: text, baseReasoning: reasoning });
    this.#on.change();
  }

  /** The question in other words, and its answer. Raises ApiError. */
  async edit(message, text, choice) {
    const start = await this.#api.edit(message.id, text, choice, randomKey());
    this.thread.put(userRecord(start, message.parent, text));
    this.#answer(start, start.user_message);
  }

  async stop() {
    for (const entry of this.pending) entry.stopped = true;
    const generation = this.running?.generation;
    if (generation) await this.#replies.stop(generation);
  }

  turn(message, step) {
    this.thread.turn(message, step);
    this.#on.change();
  }

  // Internal

  async #fetch() {
    const proceeded = this.#proceeded;
    let cursor = null;
    for (let page = 0; page < PAGES; page++) {
      const { items, next } = await this.#api.messages(this.id, cursor, PAGE);
      if (this.#closed) return;
      if (proceeded !== this.#proceeded) {
        this.#syncWanted = true;
        return;
      }
      this.thread.merge(items);
      cursor = next;
      if (!cursor) break;
    }
    this.#on.change();
    await Promise.all(this.thread.all().map((message) => this.#replies.takeUp(message)));
  }

  #syncIfWanted() {
    if (this.#syncWanted) this.sync().catch(() => {}); // it was a favour; the next look makes up for it
  }

  #accepted(entry, start) {
    this.pending = this.pending.filter((other) => other !== entry);
    this.#outbox.remove(entry.key);
    entry.sending = false;
    if (this.#closed) return null;
    if (!this.id) {
      this.id = start.conversation;
      this.#on.named(this.id);
      for (const other of this.pending) this.#outbox.put(stored(Object.assign(other, { conversation: this.id })));
    }
    if (!start.message || this.#replies.has(start.generation)) {
      // An old key: what it started is in the record.
      this.#syncWanted = true;
      return null;
    }
    if (!this.thread.get(start.user_message)) this.thread.put(userRecord(start, entry.parent, entry.text));
    const follower = this.#answer(start, start.user_message, { delivered: true });
    if (entry.stopped) this.#replies.stop(start.generation).catch(() => {}); // the button is still there
    return follower;
  }

  #answer(start, parent, { delivered = false } = {}) {
    const { message: id, generation } = start;
    const record = { id, parent, role: "assistant", text: "", reasoning: "", status: "queued", generation };
    const message = this.thread.get(id) ?? this.thread.put(record);
    const follower = this.#replies.follow(message, { start, delivered });
    this.#on.change();
    return follower;
  }

  #changed(message, reply) {
    if (reply.ended && reply.base) this.#syncWanted = true; // the stored text knows best where the parts meet
    this.#on.reply(message);
    this.#syncIfWanted();
  }
}

const stored = ({ key, conversation, parent, text, provider, model, error, sending }) =>
  ({ key, conversation, parent, text, provider, model, refused: sending ? null : error });

const userRecord = ({ user_message }, parent, text) =>
  ({ id: user_message, parent, role: "user", text, reasoning: "", status: "completed", generation: null });
