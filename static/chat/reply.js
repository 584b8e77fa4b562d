/* One reply as it grows: the events of a generation, applied in the order of their `seq`, each exactly once. */

import { withNote } from "./notes.js";

const LIVE = new Set(["queued", "streaming", "paused"]);

export const isLive = (status) => LIVE.has(status);

export const APPLIED = "applied";
export const DUPLICATE = "duplicate";
export const GAP = "gap";

export class Reply {
  text = "";
  reasoning = "";
  steps = [];
  images = [];
  notes = []; // {note, details}
  status = "queued";
  seq = 0;
  error = null; // {error, code, details, retryable}
  finishReason = null;
  usage = null;
  provider = null;
  model = null;
  asked = null; // the provider that was asked; `provider` is who answers
  upstream = null;
  transport = null; // over which it was read last: "websocket" or "sse"

  /** `base`: text of the message before this generation, when it continues an earlier one. */
  constructor({ generation, message, base = "", baseReasoning = "" }) {
    this.generation = generation;
    this.message = message;
    this.base = base;
    this.baseReasoning = baseReasoning;
  }

  get ended() {
    return !isLive(this.status);
  }

  /** One event. GAP: an earlier one is missing, nothing was changed, ask again from `seq`. */
  apply(name, seq, data) {
    if (this.ended || !(seq > this.seq)) return DUPLICATE;
    if (name !== "snapshot" && seq !== this.seq + 1) return GAP;
    this.seq = seq;
    this.#handlers[name]?.(data);
    return APPLIED;
  }

  /** The server's own record of an ended generation (`GET /generations/{id}`). */
  settle(record) {
    if (this.ended || isLive(record.status)) return;
    this.seq = record.seq;
    this.text = record.text;
    this.reasoning = record.reasoning;
    this.describe(record);
    this.usage = record.usage;
    this.finishReason = record.finish_reason;
    this.notes = record.notes ?? this.notes;
    this.error = record.error;
    this.status = record.status;
  }

  /** Who answers, from a `start` event or a record. */
  describe({ provider, model, upstream }) {
    this.provider = provider ?? this.provider;
    this.model = model ?? this.model;
    this.upstream = upstream ?? this.upstream;
  }

  /** Nothing more can be known about it. */
  fail(error) {
    if (this.ended) return;
    this.error = error;
    this.status = "failed";
  }

  #handlers = {
    start: (data) => {
      this.asked = data.provider;
      this.describe(data);
    },
    note: (data) => this.#note(data),
    message: (data) => (data.isFinal ? this.#finish(data) : this.#append("text", data.delta)),
    reasoning: (data) => this.#append("reasoning", data.delta),
    step_start: ({ index, total, name }) => {
      this.steps.push({ index, total, name, duration: null });
      this.status = "streaming";
    },
    step_end: ({ index, duration_ms }) => {
      const step = this.steps.findLast((candidate) => candidate.index === index);
      if (step) step.duration = duration_ms;
    },
    image: (image) => this.images.push(image),
    snapshot: (data) => this.#replace(data),
    error: (data) => {
      this.error = { error: data.error, code: data.code, details: data.details, retryable: data.retryable };
      this.status = data.code === "INTERRUPTED" ? "interrupted" : "failed";
    },
  };

  #note(note) {
    this.notes = withNote(this.notes, note);
    if (note.note === "fallback") this.describe(note.details);
  }

  #append(field, delta) {
    this[field] += delta;
    this.status = "streaming";
  }

  #finish({ text, finish_reason, usage }) {
    if (typeof text === "string") this.text = text;
    this.finishReason = finish_reason;
    this.usage = usage;
    this.status = finish_reason === "cancelled" ? "cancelled" : "completed";
  }

  #replace({ text, reasoning, steps, images, notes, status }) {
    this.text = text;
    this.reasoning = reasoning ?? "";
    this.steps = (steps ?? []).map((step) => ({ ...step, duration: step.duration_ms ?? null }));
    this.images = images ?? [];
    if (notes) this.notes = [];
    for (const note of notes ?? []) this.#note(note);
    // Its end is told by the terminal event that follows, with all that belongs to it.
    if (isLive(status)) this.status = status;
  }
}
