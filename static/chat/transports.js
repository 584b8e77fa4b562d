/* The two ways to the server, and which one is in use. */

import { SseTransport } from "./sse_transport.js";
import { WebSocketTransport } from "./websocket_transport.js";

const NAMES = ["websocket", "sse"];

export class Transports {
  #ways;
  #preferences;
  current;

  /** `on.state(state)` of the one in use; `on.nudge(frame)`, `on.signedOut()`. */
  constructor({ api, websocketUrl, preferences, on }) {
    const onState = (name) => (state) => this.current?.name === name && on.state(state);
    this.#ways = {
      websocket: new WebSocketTransport({
        url: websocketUrl,
        onState: onState("websocket"),
        onNudge: on.nudge,
        onSignedOut: on.signedOut,
      }),
      sse: new SseTransport({ api, onState: onState("sse") }),
    };
    this.#preferences = preferences;
    const remembered = preferences.get("transport");
    this.current = this.#ways[NAMES.includes(remembered) ? remembered : NAMES[0]];
  }

  open() {
    this.current.open();
  }

  /** Opens the other one and closes the old after `move(transport)` has taken all readers over. */
  choose(name, move) {
    const old = this.current;
    if (!NAMES.includes(name) || old.name === name) return;
    this.#preferences.set("transport", name);
    this.current = this.#ways[name];
    this.current.open();
    move(this.current);
    old.close();
  }

  wake() {
    this.current.wake();
  }
}
