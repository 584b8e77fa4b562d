/* Server-sent events from bytes, as in https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream */

/* The longest reply that a server keeps is 8 million characters; JSON may escape each with six. Past that it is no event of ours. */
export const MAX_BLOCK_CHARS = 64_000_000;

const LINE_END = /\r\n|\r|\n/g;

export class SseDecoder {
  #utf8 = new TextDecoder();
  #rest = "";
  #afterCr = false;
  #event = "";
  #data = [];
  #size = 0;
  #id = "";

  /** Bytes to the events that they complete: [{event, data, id}]. Throws RangeError for a block without an end. */
  decode(bytes) {
    let text = this.#utf8.decode(bytes, { stream: true });
    if (this.#afterCr && text) {
      if (text.startsWith("\n")) text = text.slice(1);
      this.#afterCr = false;
    }
    const events = [];
    let from = 0;
    for (const end of text.matchAll(LINE_END)) {
      this.#line(this.#rest + text.slice(from, end.index), events);
      this.#rest = "";
      from = end.index + end[0].length;
      // The LF of a CRLF may come with the next bytes.
      this.#afterCr = end[0] === "\r" && from === text.length;
    }
    this.#rest += text.slice(from);
    if (this.#rest.length + this.#size > MAX_BLOCK_CHARS) throw new RangeError("event too large");
    return events;
  }

  #line(line, events) {
    if (line === "") {
      this.#dispatch(events);
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch(events) {
    if (this.#data.length) {
      events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    }
    this.#event = "";
    this.#data = [];
    this.#size = 0;
  }
}
