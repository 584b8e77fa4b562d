/* Messages on their way to the server. They survive a reload and a sign-in: a text that was sent is never lost. */

export const MOST_UNSENT = 20; // of all conversations of this tab; the oldest go, or a full storage would refuse the newest

export class Outbox {
  #storage;
  #name;

  /** `storage`: a Storage; the tab's own, so that two tabs don't send each other's messages. */
  constructor(storage, user) {
    this.#storage = storage;
    this.#name = `chat.outbox.${user}`;
  }

  /** Entries are {key, conversation, parent, text, provider, model, refused}. */
  of(conversation) {
    return this.#read().filter((entry) => entry.conversation === conversation);
  }

  put(entry) {
    const others = this.#read().filter(({ key }) => key !== entry.key);
    this.#write([...others, entry].slice(-MOST_UNSENT));
  }

  remove(key) {
    this.#write(this.#read().filter((entry) => entry.key !== key));
  }

  #read() {
    try {
      const entries = JSON.parse(this.#storage.getItem(this.#name) ?? "[]");
      return Array.isArray(entries) ? entries : [];
    } catch {
      return [];
    }
  }

  #write(entries) {
    try {
      this.#storage.setItem(this.#name, JSON.stringify(entries));
    } catch {
      // Full or forbidden: the page still holds what it shows.
    }
  }
}
