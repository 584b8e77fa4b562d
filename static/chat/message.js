/* One turn as the page knows it: the server's record, and the reply that fills it at the moment. */

import { ahead } from "./notes.js";
import { isLive } from "./reply.js";

export class Message {
  reply = null;
  record = null; // of the generation that filled it, once fetched

  constructor(fields) {
    this.update(fields);
  }

  update({ id, parent, role, text, reasoning, images, notes, status, generation }) {
    Object.assign(this, { id, parent, role, generation });
    this.stored = { text, reasoning: reasoning ?? "", images: images ?? [], notes: notes ?? [], status };
    if (this.reply && this.reply.generation !== generation) this.reply = null;
    if (this.record && this.record.id !== generation) this.record = null;
  }

  get text() {
    return this.#grown("text", "base");
  }

  get reasoning() {
    return this.#grown("reasoning", "baseReasoning");
  }

  get images() {
    return this.reply?.images.length ? this.reply.images : this.stored.images;
  }

  get steps() {
    return this.reply?.steps ?? [];
  }

  /** {note, details} each. */
  get notes() {
    return this.reply?.notes.length ? this.reply.notes : this.stored.notes;
  }

  /** How many are to be answered before it; null when it does not wait for its turn, or nobody said. */
  get ahead() {
    return this.status === "queued" ? ahead(this.notes) : null;
  }

  /** The provider that was asked; null when it is not known. */
  get asked() {
    return this.reply?.asked ?? null;
  }

  get status() {
    return this.reply?.status ?? this.stored.status;
  }

  get isLive() {
    return this.role === "assistant" && isLive(this.status);
  }

  /** {error, code, details, retryable} or null. */
  get error() {
    return this.reply?.error ?? this.record?.error ?? null;
  }

  /** Who answered, how it was read and what it took; null for what is not known. */
  get facts() {
    const source = this.reply ?? this.record ?? {};
    return {
      provider: source.provider ?? null,
      model: source.model ?? null,
      upstream: source.upstream ?? null,
      usage: source.usage ?? null,
      finishReason: this.reply ? this.reply.finishReason : (this.record?.finish_reason ?? null),
      transport: this.reply?.transport ?? null,
    };
  }

  /** What is stored of a running reply is a beginning of what it replays: it stays until the replay has caught up, so
   * that nothing flickers. Of an ended one, what is stored is all. */
  #grown(field, base) {
    const stored = this.stored[field];
    if (!this.reply || (this.reply.ended && !isLive(this.stored.status))) return stored;
    const grown = this.reply[base] + this.reply[field];
    return this.reply.ended || grown.length >= stored.length ? grown : stored;
  }
}
