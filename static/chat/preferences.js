/* What this browser remembers of the person's choices; where storage is forbidden, this page remembers them. */

export class Preferences {
  #storage;
  #own = new Map();

  constructor(storage) {
    this.#storage = storage;
  }

  get(name) {
    try {
      return this.#storage.getItem(`chat.${name}`) ?? this.#own.get(name) ?? null;
    } catch {
      return this.#own.get(name) ?? null;
    }
  }

  set(name, value) {
    this.#own.set(name, value);
    try {
      this.#storage.setItem(`chat.${name}`, value);
    } catch {
      // Full or forbidden.
    }
  }
}
