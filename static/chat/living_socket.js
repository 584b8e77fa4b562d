/* A WebSocket of JSON frames that stays open: pings, notices a dead connection, and comes back by itself. */

import { Backoff } from "./backoff.js";
import { Watchdog } from "./watchdog.js";

export const PING_MS = 20_000; // with the answer, breaks the silence well before the watchdog does
export const PROBE_MS = 5_000; // after sleep or a change of network, a living server answers a ping sooner than this
export const SIGN_IN = 4401;
const WRONG_ORIGIN = 4403;
const OPEN = 1;

export class LivingSocket {
  #url;
  #on;
  #createSocket;
  #timers;
  #backoff;
  #watchdog;
  #socket = null;
  #wanted = false;
  #retry = null;
  #pinger = null;

  /**
   * `onState({state, retryAt})`: connecting, connected, reconnecting, refused, closed; `onFrame(frame)`; `onRefused(code)`
   * when the server wants us to sign in (4401) or not at all (4403).
   */
  constructor({ url, onState, onFrame, onRefused, createSocket, timers = globalThis, random }) {
    this.#url = url;
    this.#on = { state: onState, frame: onFrame, refused: onRefused };
    this.#createSocket = createSocket ?? ((address) => new WebSocket(address));
    this.#timers = timers;
    this.#backoff = new Backoff(random);
    this.#watchdog = new Watchdog(() => this.#lost(), timers);
  }

  get isOpen() {
    return this.#socket?.readyState === OPEN;
  }

  open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#connect();
  }

  close() {
    this.#wanted = false;
    this.#drop();
    this.#on.state({ state: "closed" });
  }

  /** The network or the page has come back: don't wait, and don't trust an old connection. */
  wake() {
    if (!this.#wanted) return;
    if (!this.#socket) this.#connect();
    else if (this.write({ type: "ping" })) this.#watchdog.touch(PROBE_MS);
  }

  /** False when there is no connection at the moment. */
  write(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Calls `action` after the delay that a failure deserves. */
  later(action) {
    this.#timers.setTimeout(action, this.#backoff.next());
  }

  // Internal

  #connect() {
    this.#drop();
    this.#on.state({ state: "connecting" });
    const socket = this.#createSocket(this.#url);
    this.#socket = socket;
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current(({ data }) => this.#received(data));
    socket.onclose = current(({ code }) => this.#closed(code));
    this.#watchdog.touch();
  }

  #opened() {
    this.#pinger = this.#timers.setInterval(() => this.write({ type: "ping" }), PING_MS);
    this.#on.state({ state: "connected" });
  }

  #received(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      this.#lost();
      return;
    }
    // Only a frame proves that the server takes us: a refused socket opens too, and then closes.
    this.#backoff.reset();
    this.#watchdog.touch();
    this.#on.frame(frame);
  }

  #closed(code) {
    if (code !== SIGN_IN && code !== WRONG_ORIGIN) {
      this.#lost();
      return;
    }
    this.#wanted = false;
    this.#drop();
    this.#on.state({ state: "refused" });
    this.#on.refused(code);
  }

  #lost() {
    this.#drop();
    const delay = this.#backoff.next();
    this.#retry = this.#timers.setTimeout(() => this.#connect(), delay);
    this.#on.state({ state: "reconnecting", retryAt: Date.now() + delay });
  }

  #drop() {
    this.#watchdog.stop();
    this.#timers.clearTimeout(this.#retry);
    this.#timers.clearInterval(this.#pinger);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}
