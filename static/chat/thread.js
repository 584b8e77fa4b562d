/* The tree of a conversation's messages, and the one branch of it that is shown. */

import { Message } from "./message.js";

const ROOT = null;

export class Thread {
  #messages = new Map();
  #children = new Map();
  #chosen = new Map();

  /** Records of the API, oldest first: new ones are added, known ones brought up to date. */
  merge(records) {
    return records.map((record) => this.put(record));
  }

  put(record) {
    const known = this.#messages.get(record.id);
    if (known) {
      known.update(record);
      return known;
    }
    const message = new Message(record);
    this.#messages.set(message.id, message);
    const parent = message.parent ?? ROOT;
    const siblings = this.#children.get(parent) ?? [];
    siblings.push(message.id);
    this.#children.set(parent, siblings);
    // What is new is what the person wants to see.
    this.#chosen.set(parent, message.id);
    return message;
  }

  get(id) {
    return this.#messages.get(id);
  }

  all() {
    return [...this.#messages.values()];
  }

  /** The messages shown, oldest first. */
  path() {
    const path = [];
    for (let id = this.#chosen.get(ROOT); id !== undefined; id = this.#chosen.get(id)) {
      path.push(this.#messages.get(id));
    }
    return path;
  }

  get leaf() {
    return this.path().at(-1) ?? null;
  }

  /** Where a message stands among those with the same parent: {index, count}. */
  place(message) {
    const siblings = this.#children.get(message.parent ?? ROOT) ?? [];
    return { index: siblings.indexOf(message.id), count: siblings.length };
  }

  /** Shows the sibling `step` further on. */
  turn(message, step) {
    const parent = message.parent ?? ROOT;
    const siblings = this.#children.get(parent) ?? [];
    const next = siblings[siblings.indexOf(message.id) + step];
    if (next !== undefined) this.#chosen.set(parent, next);
  }
}
