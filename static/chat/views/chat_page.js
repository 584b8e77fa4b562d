/* The chat page: the open conversation, the list of the others, and the way to the server. */

import { Api } from "../api.js";
import { ConversationList } from "../conversation_list.js";
import { Drafts } from "../drafts.js";
import { Outbox } from "../outbox.js";
import { Preferences } from "../preferences.js";
import { Transports } from "../transports.js";
import { Words } from "../words.js";
import { ConversationActions } from "./conversation_actions.js";
import { ConversationPane } from "./conversation_pane.js";
import { Drawer } from "./drawer.js";
import { ModelMenu } from "./model_menu.js";
import { Notices } from "./notices.js";
import { Place } from "./place.js";
import { SidebarView } from "./sidebar_view.js";
import { StatusLine } from "./status_line.js";

const LOOK_MS = 10_000;

export class ChatPage {
  #given;
  #pane;

  /** `given`: what the server wrote into the page. */
  constructor(given) {
    const { user, language, csrfCookie, websocketPath } = given;
    const local = storageOrNone("localStorage");
    const preferences = new Preferences(local);
    const onSignedOut = () => this.#signIn();
    this.#given = given;
    this.words = new Words(language);
    this.api = new Api({ csrfCookie, onSignedOut });
    this.drafts = new Drafts(local, user.id);
    this.outbox = new Outbox(storageOrNone("sessionStorage"), user.id);
    this.notices = new Notices(this.words);
    this.status = new StatusLine(this.words);
    this.place = new Place((id) => this.#open(id));
    this.drawer = new Drawer();
    this.list = new ConversationList({ api: this.api, onChange: () => this.#showList() });
    this.sidebar = new SidebarView(this.words, new ConversationActions(this));
    this.models = new ModelMenu({ words: this.words, preferences, onChange: () => this.#showUpstream() });
    this.transports = new Transports({
      api: this.api,
      websocketUrl: new URL(websocketPath, location.href.replace(/^http/, "ws")).href,
      preferences,
      on: { state: (state) => this.#stateChanged(state), nudge: (frame) => this.#nudged(frame), signedOut: onSignedOut },
    });
    this.#pane = new ConversationPane(this, {
      named: (id) => this.#named(id),
      known: (record) => this.#known(record),
      changed: () => this.#showUpstream(),
      ended: () => this.list.refreshSoon(),
    });
  }

  get conversation() {
    return this.#pane.conversation;
  }

  start() {
    for (const id of ["new-chat", "new-chat-top"]) this.place.lead(document.getElementById(id), () => this.leave());
    for (const radio of document.querySelectorAll('[name="transport"]')) {
      radio.checked = radio.value === this.transports.current.name;
      radio.addEventListener("change", () => this.#switch(radio.value));
    }
    addEventListener("online", () => this.#wake());
    addEventListener("focus", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#wake());
    setInterval(() => this.#look(), LOOK_MS);
    this.status.transport = this.transports.current.name;
    this.transports.open();
    this.#open(this.#given.conversation);
    // Until here nothing would have happened to what is typed or pressed.
    for (const control of document.querySelectorAll("[data-awaits-script]")) control.disabled = false;
    this.#pane.focus();
    this.#loadModels();
  }

  /** To a conversation, or to a new one. */
  go(id) {
    this.place.go(id);
    this.#open(id);
    this.drawer.close();
    this.#pane.focus();
  }

  leave() {
    this.go(null);
  }

  // Internal

  #open(id) {
    this.#pane.open(id, this.transports.current);
    this.#showList();
  }

  async #loadModels() {
    try {
      const { items } = await this.api.providers();
      this.models.fill(items);
      this.#pane.redraw();
    } catch (error) {
      this.notices.failed(error);
    }
  }

  #named(id) {
    this.place.go(id, { replace: true });
    this.list.refreshSoon();
  }

  #known(record) {
    this.place.title = record.title || this.words.say("untitled");
    this.models.prefer(record);
  }

  #showList() {
    const id = this.conversation?.id ?? null;
    this.sidebar.show(this.list.items, id);
    const item = this.list.items.find((candidate) => candidate.id === id);
    if (item) this.place.title = item.title || this.words.say("untitled");
    else if (id === null) this.place.title = null;
  }

  #showUpstream() {
    this.status.upstream = this.#pane?.upstream ?? this.models.upstream;
  }

  #switch(name) {
    this.transports.choose(name, (transport) => this.conversation.moveTo(transport));
    this.status.transport = name;
  }

  #stateChanged(state) {
    this.status.connection = state;
    if (state.state === "connected") this.list.refreshSoon(); // what changed meanwhile went unheard
  }

  #nudged({ id, action }) {
    this.list.refreshSoon();
    if (id !== this.conversation.id) return;
    if (action === "deleted") this.leave();
    else this.#sync();
  }

  #wake() {
    this.transports.wake();
    this.list.refreshSoon();
    this.#sync();
  }

  /** Over SSE no news come; and that a reply elsewhere has ended is none. */
  #look() {
    if (document.visibilityState !== "visible") return;
    const unheard = this.transports.current.name === "sse";
    if (unheard || this.list.items.some(({ running }) => running.length)) this.list.refreshSoon();
    if (unheard) this.#sync();
  }

  #sync() {
    const { conversation } = this;
    conversation.sync().catch(({ status }) => {
      // Deleted elsewhere. For anything else, the next nudge or look makes up.
      if (status === 404 && conversation === this.conversation) this.leave();
    });
  }

  #signIn() {
    this.#pane.keepDraft();
    location.assign(`${this.#given.loginUrl}?${new URLSearchParams({ next: location.pathname })}`);
  }
}

/* Where cookies are forbidden, so much as naming a storage throws. */
function storageOrNone(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}
