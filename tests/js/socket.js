/* A socket in the hands of a test, with the face of a browser's WebSocket, and time that the test moves. */

export class Socket {
  static all = [];
  readyState = 0;
  sent = [];

  constructor(url) {
    this.url = url;
    Socket.all.push(this);
  }

  static get last() {
    return Socket.all.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  opens() {
    this.readyState = 1;
    this.onopen({});
  }

  says(frame) {
    this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  breaks(code = 1006) {
    this.readyState = 3;
    this.onclose({ code });
  }

  sentOf(type) {
    return this.sent.filter((frame) => frame.type === type);
  }
}

export class Clock {
  #now = 0;
  #next = 1;
  #timers = new Map();

  setTimeout = (action, delay) => this.#add(action, delay, null);
  setInterval = (action, delay) => this.#add(action, delay, delay);
  clearTimeout = (id) => this.#timers.delete(id);
  clearInterval = (id) => this.#timers.delete(id);

  pass(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, timer] = due;
      this.#now = timer.at;
      if (timer.every === null) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.action();
    }
    this.#now = end;
  }

  #add(action, delay, every) {
    this.#timers.set(this.#next, { action, at: this.#now + delay, every });
    return this.#next++;
  }
}
