/* The server over one WebSocket: sends, any number of followed generations, and nudges about other conversations. */

import { ApiError } from "./api.js";
import { LivingSocket, SIGN_IN } from "./living_socket.js";

export const SEND_MS = 20_000; // a send survives a reconnect or two; later, the person is asked

const STATUS = { NOT_FOUND: 404, RATE_LIMITED: 429, UNAVAILABLE: 503 };

export class WebSocketTransport {
  name = "websocket";
  #socket;
  #timers;
  #on;
  #readers = new Map();
  #sends = new Map();
  #refs = 0;

  /** `onState({state, retryAt})`: see LivingSocket. `onNudge(frame)`: a conversation has changed. `onSignedOut()`. */
  constructor({ url, onState = () => {}, onNudge = () => {}, onSignedOut = () => {}, createSocket, timers, random }) {
    this.#timers = timers ?? globalThis;
    this.#on = { state: onState, nudge: onNudge, signedOut: onSignedOut };
    this.#socket = new LivingSocket({
      url,
      createSocket,
      timers,
      random,
      onState: (state) => this.#state(state),
      onFrame: (frame) => this.#received(frame),
      onRefused: (code) => this.#refusedAltogether(code),
    });
  }

  // Lifecycle

  open() {
    this.#socket.open();
  }

  close() {
    this.#readers.clear();
    this.#socket.close();
    this.#failSends(new ApiError());
  }

  wake() {
    this.#socket.wake();
  }

  // Commands

  /** Resolves with start's fields. `begin(start)` returns the reader, before the first event. The same key may be sent again. */
  send(fields, begin) {
    return new Promise((resolve, reject) => {
      const ref = `send-${++this.#refs}`;
      const deadline = this.#timers.setTimeout(() => fail(new ApiError()), SEND_MS);
      const settle = () => {
        this.#timers.clearTimeout(deadline);
        this.#sends.delete(ref);
      };
      const fail = (error) => {
        settle();
        reject(error);
      };
      const accept = (start) => {
        settle();
        const reader = begin(start);
        if (reader) this.#readers.set(start.generation, reader);
        else if (!this.#readers.has(start.generation)) {
          this.#socket.write({ type: "unfollow", generation: start.generation });
        }
        resolve(start);
      };
      const frame = { type: "send", ref, ...fields };
      this.#sends.set(ref, { frame, accept, fail });
      this.#socket.write(frame);
    });
  }

  /** False when it cannot be said here at the moment. */
  stop(generation) {
    return this.#socket.write({ type: "stop", generation });
  }

  subscribe(generation, reader) {
    this.#readers.set(generation, reader);
    this.#follow(generation, reader);
  }

  unsubscribe(generation) {
    const reader = this.#readers.get(generation);
    this.#readers.delete(generation);
    if (reader && !reader.reply?.ended) this.#socket.write({ type: "unfollow", generation });
  }

  // What the server says

  #state(state) {
    if (state.state === "connected") {
      for (const [generation, reader] of this.#readers) this.#follow(generation, reader);
      for (const { frame } of this.#sends.values()) this.#socket.write(frame);
    }
    this.#on.state(state);
  }

  #received(frame) {
    if (frame.type === "accepted") this.#sends.get(frame.ref)?.accept(frame);
    else if (frame.type === "refused") this.#refused(frame);
    else if (frame.type === "conversation") this.#on.nudge(frame);
    else if (frame.type === "end") this.#ended(frame.generation);
    else if (frame.generation && frame.seq) this.#event(frame);
  }

  #event({ type, generation, seq, ...data }) {
    const reader = this.#readers.get(generation);
    if (reader && !reader.event(type, seq, data)) this.#follow(generation, reader);
  }

  async #ended(generation) {
    const reader = this.#readers.get(generation);
    if (!reader) return;
    await reader.ended();
    this.#followLater(generation, reader);
  }

  #refused({ ref, error, code, details }) {
    const failure = new ApiError({ status: STATUS[code] ?? 400, code, message: error, details });
    this.#sends.get(ref)?.fail(failure);
    const generation = String(ref).startsWith("follow:") ? ref.slice("follow:".length) : null;
    const reader = this.#readers.get(generation);
    if (!reader) return;
    if (failure.status === 404) reader.lost(failure);
    else this.#followLater(generation, reader);
  }

  #refusedAltogether(code) {
    this.#failSends(new ApiError({ status: code === SIGN_IN ? 401 : 403, code: code === SIGN_IN ? "UNAUTHENTICATED" : "FORBIDDEN" }));
    if (code === SIGN_IN) this.#on.signedOut();
  }

  // Internal

  #follow(generation, reader) {
    this.#socket.write({ type: "follow", ref: `follow:${generation}`, generation, after: reader.cursor });
  }

  #followLater(generation, reader) {
    this.#socket.later(() => {
      if (this.#readers.get(generation) === reader) this.#follow(generation, reader);
    });
  }

  #failSends(error) {
    for (const { fail } of [...this.#sends.values()]) fail(error);
  }
}
