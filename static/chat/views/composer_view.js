/* Where messages are written. */

const TALLEST_PX = 240; // then the field scrolls: a third of a small screen stays for the conversation
const DRAFT_MS = 300; // between a key and its draft being stored
const IME_KEY = 229; // what browsers report for a key that an input method takes; Safari does so after composition's end

export class ComposerView {
  #form = document.getElementById("composer");
  #input = document.getElementById("composer-input");
  #send = document.getElementById("send");
  #stop = document.getElementById("stop");
  #editing = document.getElementById("editing");
  #on;
  #isBusy = false;
  #draftTimer = null;

  /** `on.send(text)`, `on.stop()`, `on.draft(text)`, `on.cancelEdit()`, `on.wait()` when a send has to wait. */
  constructor(on) {
    this.#on = on;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener("keydown", (event) => this.#keyed(event));
    this.#input.addEventListener("input", () => this.#changed());
    this.#stop.addEventListener("click", () => on.stop());
    document.getElementById("cancel-edit").addEventListener("click", () => on.cancelEdit());
    addEventListener("pagehide", () => this.flush());
    addEventListener("resize", () => this.#fit());
  }

  get text() {
    return this.#input.value;
  }

  set text(text) {
    this.flush();
    this.#input.value = text;
    this.#fit();
  }

  focus() {
    this.#input.focus({ preventScroll: true });
    this.#input.setSelectionRange(this.text.length, this.text.length);
  }

  /** While a reply runs, stop stands in the place of send. */
  set isBusy(isBusy) {
    if (isBusy === this.#isBusy) return;
    const hadFocus = [this.#send, this.#stop].includes(document.activeElement);
    this.#isBusy = isBusy;
    this.#send.hidden = isBusy;
    this.#stop.hidden = !isBusy;
    if (hadFocus) this.focus();
  }

  set isEditing(isEditing) {
    this.#editing.hidden = !isEditing;
  }

  /** Stores the draft now. */
  flush() {
    if (this.#draftTimer === null) return;
    clearTimeout(this.#draftTimer);
    this.#draftTimer = null;
    this.#on.draft(this.text);
  }

  #keyed(event) {
    const isComposing = event.isComposing || event.keyCode === IME_KEY;
    if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.text;
    if (!text.trim()) return;
    if (this.#isBusy) {
      this.#on.wait();
      return;
    }
    this.#input.value = "";
    this.#changed();
    this.flush();
    this.#on.send(text);
  }

  #changed() {
    this.#fit();
    this.#draftTimer ??= setTimeout(() => this.flush(), DRAFT_MS);
  }

  #fit() {
    this.#input.style.height = "auto";
    this.#input.style.height = `${Math.min(this.#input.scrollHeight, TALLEST_PX)}px`;
  }
}
