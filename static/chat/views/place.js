/* Where the person is: the address, the title, and the ways that lead elsewhere without a new page. */

export class Place {
  #heading = document.getElementById("conversation-title");
  #newTitle = this.#heading.textContent;
  #siteTitle = document.title;

  /** `onMoved(id)`: the person went back or forth. */
  constructor(onMoved) {
    addEventListener("popstate", () => onMoved(this.#current));
    for (const form of document.querySelectorAll(".language-menu")) {
      // The page has been elsewhere since the server wrote the form.
      form.addEventListener("submit", () => (form.elements.next.value = location.pathname));
    }
  }

  go(id, { replace = false } = {}) {
    const path = id ? `/c/${id}` : "/";
    if (location.pathname === path) return;
    if (replace) history.replaceState(null, "", path);
    else history.pushState(null, "", path);
  }

  /** A link that leads somewhere within the page, unless it is to open in another. */
  lead(link, go) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      go();
    });
  }

  /** Null for a conversation that does not exist yet. */
  set title(title) {
    this.#heading.textContent = title ?? this.#newTitle;
    document.title = title ? `${title} · ${this.#siteTitle}` : this.#siteTitle;
  }

  get #current() {
    return /^\/c\/([0-9a-f-]{36})$/.exec(location.pathname)?.[1] ?? null;
  }
}
