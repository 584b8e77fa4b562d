/* What a person can do with a message of the transcript. */

import { copy } from "./clipboard.js";

export class MessageActions {
  #words;
  #on;

  /** `on.conversation()`, `on.choice()`, `on.edit(message)`, `on.say(words)`, `on.draft(text)`, `on.failed(error)`, `on.started()`. */
  constructor(words, on) {
    this.#words = words;
    this.#on = on;
  }

  /** `name` of the button, the message or pending entry, and the button's element. */
  async act(name, item, element) {
    try {
      await this.#actions[name]?.(item, element);
    } catch (error) {
      this.#on.failed(error);
    }
  }

  #actions = {
    retry: async (item) => {
      this.#on.started();
      if (item.key) await this.#on.conversation().deliver(item);
      else await this.#on.conversation().regenerate(item, this.#on.choice());
    },
    regenerate: (message) => this.#actions.retry(message),
    continue: async (message) => {
      this.#on.started();
      await this.#on.conversation().proceed(message);
    },
    proceed: (message) => this.#actions.continue(message),
    discard: (entry) => this.#on.draft(this.#on.conversation().discard(entry)),
    edit: (message) => this.#on.edit(message),
    earlier: (message) => this.#on.conversation().turn(message, -1),
    later: (message) => this.#on.conversation().turn(message, 1),
    copy: (message) => this.#copy(message.text),
    "copy-code": (_, element) => this.#copy(element.closest(".block").querySelector("pre").textContent),
  };

  async #copy(text) {
    await copy(text).then(
      () => this.#on.say(this.#words.say("copied")),
      () => this.#on.say(this.#words.say("copy.failed")),
    );
  }
}
