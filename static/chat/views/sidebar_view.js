/* The list of conversations. */

import { part, piece, setText } from "./pieces.js";

const AHEAD = "200px"; // the next page is fetched this much before its end comes into view

export class SidebarView {
  #list = document.getElementById("conversations");
  #empty = document.getElementById("conversations-empty");
  #words;
  #rows = new Map(); // id to its element

  /** `on.open(id)`, `on.rename(id)`, `on.delete(id)`, `on.more()` when the end comes into view. */
  constructor(words, on) {
    this.#words = words;
    this.#list.addEventListener("click", (event) => {
      const id = event.target.closest("li")?.dataset.id;
      const name = event.target.closest("[data-action]")?.dataset.action;
      if (!id || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      on[name ?? "open"](id);
    });
    const end = document.createElement("div");
    end.className = "conversations-end";
    this.#list.after(end);
    const root = document.getElementById("conversations-scroller");
    const seen = (entries) => entries.some(({ isIntersecting }) => isIntersecting) && on.more();
    new IntersectionObserver(seen, { root, rootMargin: AHEAD }).observe(end);
  }

  /** `items` of the API; `current`: the id of the open one. */
  show(items, current) {
    const wanted = new Set(items.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const [index, item] of items.entries()) {
      const row = this.#row(item.id);
      if (this.#list.children[index] !== row) this.#list.insertBefore(row, this.#list.children[index] ?? null);
      this.#fill(row, item, item.id === current);
    }
    this.#empty.hidden = items.length > 0;
  }

  #row(id) {
    if (!this.#rows.has(id)) {
      const row = piece("conversation");
      row.dataset.id = id;
      this.#rows.set(id, row);
    }
    return this.#rows.get(id);
  }

  #fill(row, { id, title, running }, isCurrent) {
    const link = part(row, "link");
    link.href = `/c/${id}`;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    const isRunning = running.length > 0;
    row.dataset.running = String(isRunning);
    part(row, "live").hidden = !isRunning;
    setText(part(row, "title"), title || this.#words.say("untitled"));
  }
}
