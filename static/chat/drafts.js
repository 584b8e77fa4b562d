/* What is typed and not yet sent, by conversation. */

export const MOST_DRAFTS = 50; // the oldest go: drafts of long forgotten conversations would fill the storage
export const NEW = "new"; // stands for a conversation that does not exist yet

export class Drafts {
  #storage;
  #name;

  constructor(storage, user) {
    this.#storage = storage;
    this.#name = `chat.drafts.${user}`;
  }

  get(conversation) {
    return this.#read().find(([id]) => id === (conversation ?? NEW))?.[1] ?? "";
  }

  set(conversation, text) {
    const id = conversation ?? NEW;
    const drafts = this.#read().filter(([other]) => other !== id);
    if (text) drafts.push([id, text]);
    try {
      this.#storage.setItem(this.#name, JSON.stringify(drafts.slice(-MOST_DRAFTS)));
    } catch {
      // Full or forbidden: the text still stands in the page.
    }
  }

  #read() {
    try {
      const drafts = JSON.parse(this.#storage.getItem(this.#name) ?? "[]");
      return Array.isArray(drafts) ? drafts : [];
    } catch {
      return [];
    }
  }
}
