/* Draws what has changed once a frame; when drawing is dear, less often, so that it never takes more than a fifth of the time. */

const REST = 4; // milliseconds of rest for one of drawing

export class FramePacer {
  #draw;
  #dirty = new Set();
  #planned = false;
  #notBefore = 0;

  /** `draw(item)` for each item that was marked since the last frame. */
  constructor(draw) {
    this.#draw = draw;
  }

  mark(item) {
    this.#dirty.add(item);
    if (this.#planned) return;
    this.#planned = true;
    const wait = this.#notBefore - performance.now();
    if (wait > 0) setTimeout(() => requestAnimationFrame(() => this.#frame()), wait);
    else requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.#planned = false;
    const begun = performance.now();
    const items = [...this.#dirty];
    this.#dirty.clear();
    for (const item of items) this.#draw(item);
    const now = performance.now();
    this.#notBefore = now + (now - begun) * REST;
  }
}
