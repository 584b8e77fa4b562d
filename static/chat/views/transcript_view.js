/* The messages of the open conversation, in the page. */

import { FramePacer } from "./frame_pacer.js";
import { MessageView } from "./message_view.js";

export class TranscriptView {
  #element;
  #words;
  #names;
  #onSeen;
  #views = new Map(); // message or pending entry to its view
  #conversation = null;
  #pacer = new FramePacer((message) => this.#draw(message));

  /** `onAction(name, message or entry)`. `names`: see MessageView.show. `onSeen(message)`: shown to the reader. */
  constructor({ element, words, names, onAction, onSeen }) {
    this.#element = element;
    this.#words = words;
    this.#names = names;
    this.#onSeen = onSeen;
    element.addEventListener("click", ({ target }) => {
      const name = target.closest("[data-action]")?.dataset.action;
      const article = target.closest("article");
      const item = [...this.#views].find(([, view]) => view.element === article)?.[0];
      if (name && item) onAction(name, item, target);
    });
  }

  /** Draws all: messages may have come, gone or changed places. */
  show(conversation) {
    if (conversation !== this.#conversation) this.#clear();
    this.#conversation = conversation;
    const items = [...conversation.thread.path(), ...conversation.pending];
    const wanted = new Set(items);
    for (const [item, view] of this.#views) {
      if (wanted.has(item)) continue;
      view.element.remove();
      this.#views.delete(item);
    }
    let previous = null;
    for (const item of items) {
      const { element } = this.#view(item);
      const next = previous ? previous.nextSibling : this.#element.firstChild;
      if (next !== element) this.#element.insertBefore(element, next);
      previous = element;
      this.#draw(item);
    }
  }

  /** A message has changed: it is drawn with the next frame. */
  mark(message) {
    if (this.#views.has(message)) this.#pacer.mark(message);
  }

  redraw() {
    for (const item of this.#views.keys()) this.#draw(item);
  }

  #view(item) {
    if (!this.#views.has(item)) this.#views.set(item, new MessageView(this.#words));
    return this.#views.get(item);
  }

  #draw(item) {
    const view = this.#views.get(item);
    if (!view) return;
    if (item.key) {
      view.showPending(item);
      return;
    }
    view.show(item, { place: this.#conversation.thread.place(item), names: this.#names });
    this.#onSeen(item);
  }

  #clear() {
    this.#element.replaceChildren();
    this.#views.clear();
  }
}
