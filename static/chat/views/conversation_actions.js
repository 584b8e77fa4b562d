/* What a person can do with a conversation of the list. */

import { askDelete, askTitle } from "./dialogs.js";

export class ConversationActions {
  #page;

  /** `page`: the chat page. */
  constructor(page) {
    this.#page = page;
  }

  open = (id) => this.#page.go(id);

  more = () => this.#try(() => this.#page.list.more());

  rename = (id) =>
    this.#try(async () => {
      const title = await askTitle(this.#item(id).title);
      if (title !== null) await this.#page.list.rename(id, title);
    });

  delete = (id) =>
    this.#try(async () => {
      const { words, list } = this.#page;
      const title = this.#item(id).title || words.say("untitled");
      if (!(await askDelete(words.say("delete.question", { title })))) return;
      await list.remove(id);
      if (this.#page.conversation.id === id) this.#page.leave();
    });

  #item(id) {
    return this.#page.list.items.find((item) => item.id === id);
  }

  async #try(action) {
    try {
      await action();
    } catch (error) {
      this.#page.notices.failed(error);
    }
  }
}
