/* Keeps the end of the transcript in view while it grows, unless the reader has scrolled away. */

const NEAR_PX = 80; // about three lines: so near to the end, a reader wants to stay there

export class ScrollKeeper {
  #scroller;
  #onLeft;
  #isStuck = true;
  #top = 0;

  /** `onLeft(left)`: whether the reader is away from the end. */
  constructor(scroller, content, onLeft) {
    this.#scroller = scroller;
    this.#onLeft = onLeft;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#isStuck && this.#jump()).observe(content);
    new ResizeObserver(() => this.#isStuck && this.#jump()).observe(scroller);
  }

  stick() {
    this.#isStuck = true;
    this.#onLeft(false);
    this.#jump();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    // Not up is not away: the end may have moved on since this scroller's own jump.
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#isStuck = true;
    else if (scrollTop < this.#top) this.#isStuck = false;
    this.#top = scrollTop;
    this.#onLeft(!this.#isStuck);
  }

  #jump() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
