/* The conversations of the person, newest first, page by page. */

const REFRESH_MS = 300; // several nudges of one change come together

export class ConversationList {
  items = [];
  #api;
  #onChange;
  #next = null;
  #begun = false;
  #loading = null;
  #refreshing = null;

  constructor({ api, onChange }) {
    this.#api = api;
    this.#onChange = onChange;
  }

  get hasMore() {
    return !this.#begun || this.#next !== null;
  }

  /** The next page. Raises ApiError. */
  async more() {
    if (!this.hasMore) return;
    this.#loading ??= this.#load().finally(() => (this.#loading = null));
    await this.#loading;
  }

  /** Soon brings the first page up to date; failures are silent, the next refresh makes up for them. */
  refreshSoon() {
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = null;
      this.refresh().catch(() => {});
    }, REFRESH_MS);
  }

  /** Raises ApiError. */
  async refresh() {
    const { items, next } = await this.#api.conversations();
    const oldest = items.at(-1)?.updated_at;
    const fresh = new Set(items.map(({ id }) => id));
    // Behind the first page stands what was loaded before; what would belong on it and is not there has gone.
    const older = next === null ? [] : this.items.filter((item) => !fresh.has(item.id) && item.updated_at <= oldest);
    if (!this.#begun || next === null) this.#next = next;
    this.#begun = true;
    this.items = [...items, ...older];
    this.#onChange();
  }

  /** Raises ApiError. */
  async rename(id, title) {
    const renamed = await this.#api.rename(id, title);
    this.items = this.items.map((item) => (item.id === id ? renamed : item));
    this.#onChange();
  }

  /** Raises ApiError. */
  async remove(id) {
    await this.#api.remove(id);
    this.forget(id);
  }

  forget(id) {
    this.items = this.items.filter((item) => item.id !== id);
    this.#onChange();
  }

  async #load() {
    const { items, next } = await this.#api.conversations(this.#next);
    const known = new Set(this.items.map(({ id }) => id));
    this.items.push(...items.filter(({ id }) => !known.has(id)));
    this.#next = next;
    this.#begun = true;
    this.#onChange();
  }
}
