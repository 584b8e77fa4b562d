/* What the page has to say beside the messages. */

import { setText } from "./pieces.js";

const SHORT_MS = 5_000; // long enough to read a line

export class Notices {
  #words;
  #notice = document.getElementById("notice");
  #announcer = document.getElementById("announcer");
  #timer = null;

  constructor(words) {
    this.#words = words;
  }

  /** Shown for a moment. */
  say(words) {
    this.#show(words, false);
  }

  /** An ApiError. */
  failed(error, { stays = false } = {}) {
    this.#show(this.#words.error({ code: error.code, error: error.status ? error.message : "" }), stays);
  }

  /** For those who don't see the page. */
  announce(words) {
    setText(this.#announcer, words);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#notice.hidden = true;
  }

  #show(words, stays) {
    this.clear();
    this.#notice.textContent = words;
    this.#notice.hidden = false;
    if (!stays) this.#timer = setTimeout(() => this.clear(), SHORT_MS);
  }
}
