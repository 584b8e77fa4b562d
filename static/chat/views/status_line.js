/* One line that says how things stand: the connection, the transport in use, and how the AI is spoken to. */

import { setText } from "./pieces.js";

const TICK_MS = 1000; // the countdown is in seconds

export class StatusLine {
  #line = document.getElementById("status-line");
  #state = document.getElementById("connection-state");
  #transport = document.getElementById("transport-in-use");
  #upstream = document.getElementById("upstream-in-use");
  #words;
  #shown = { state: "connecting" };
  #timer = null;

  constructor(words) {
    this.#words = words;
    addEventListener("online", () => this.#show());
    addEventListener("offline", () => this.#show());
    this.#show();
  }

  /** {state, retryAt}: see the transports. */
  set connection(shown) {
    this.#shown = shown;
    this.#show();
  }

  set transport(name) {
    setText(this.#transport, this.#words.say(`upstream.${name}`));
  }

  set upstream(name) {
    setText(this.#upstream, name ? this.#words.say("upstream.chosen", { upstream: this.#words.say(`upstream.${name}`) }) : "");
  }

  #show() {
    clearInterval(this.#timer);
    const state = navigator.onLine || this.#shown.state === "connected" ? this.#shown.state : "offline";
    this.#line.dataset.state = state;
    this.#state.dataset.state = state;
    this.#count(state);
    if (state === "reconnecting") this.#timer = setInterval(() => this.#count(state), TICK_MS);
  }

  #count(state) {
    const seconds = Math.max(1, Math.ceil((this.#shown.retryAt - Date.now()) / 1000));
    // A line that speaks each second would silence all else.
    this.#state.setAttribute("aria-live", state === "reconnecting" ? "off" : "polite");
    setText(this.#state, this.#words.say(`state.${state}`, { seconds }));
  }
}
