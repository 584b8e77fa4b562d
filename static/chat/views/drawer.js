/* On a small screen the sidebar is a drawer. */

const WIDE = "(min-width: 821px)"; // as in css/sidebar.css

export class Drawer {
  #sidebar = document.getElementById("sidebar");
  #opener = document.getElementById("open-drawer");
  #scrim = document.getElementById("scrim");
  #main = document.getElementById("main");
  #wide = matchMedia(WIDE);

  constructor() {
    this.#opener.addEventListener("click", () => this.open());
    this.#scrim.addEventListener("click", () => this.close());
    document.getElementById("close-drawer").addEventListener("click", () => this.close());
    document.addEventListener("keydown", ({ key }) => key === "Escape" && !document.querySelector("dialog[open]") && this.close());
    this.#wide.addEventListener("change", () => this.#show(false));
    this.#show(false);
  }

  open() {
    this.#show(true);
    document.getElementById("close-drawer").focus();
  }

  close() {
    if (!document.body.classList.contains("drawer-open")) return;
    this.#show(false);
    this.#opener.focus();
  }

  #show(isOpen) {
    document.body.classList.toggle("drawer-open", isOpen);
    this.#opener.setAttribute("aria-expanded", String(isOpen));
    this.#sidebar.inert = !isOpen && !this.#wide.matches;
    this.#main.inert = isOpen;
  }
}
