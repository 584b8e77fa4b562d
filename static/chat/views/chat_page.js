/* The chat page: connects what it knows (the conversation, the list, the transports) with what it shows. */

import { Api } from "../api.js";
import { ConversationList } from "../conversation_list.js";
import { Drafts } from "../drafts.js";
import { GenerationRecords } from "../generation_records.js";
import { OpenConversation } from "../open_conversation.js";
import { Outbox } from "../outbox.js";
import { Preferences } from "../preferences.js";
import { Transports } from "../transports.js";
import { Words } from "../words.js";
import { ComposerView } from "./composer_view.js";
import { ConversationActions } from "./conversation_actions.js";
import { Drawer } from "./drawer.js";
import { MessageActions } from "./message_actions.js";
import { ModelMenu } from "./model_menu.js";
import { Notices } from "./notices.js";
import { Place } from "./place.js";
import { ScrollKeeper } from "./scroll_keeper.js";
import { SidebarView } from "./sidebar_view.js";
import { StatusLine } from "./status_line.js";
import { TranscriptView } from "./transcript_view.js";

const byId = (id) => document.getElementById(id);

export class ChatPage {
  #page;
  #conversation = null;
  #editing = null; // the message whose new words are being written

  constructor(page) {
    this.#page = page;
    const { user, language, csrfCookie, websocketPath } = page;
    const websocketUrl = new URL(websocketPath, location.href.replace(/^http/, "ws")).href;
    const preferences = new Preferences(localStorageOrNone());
    const onSignedOut = () => this.#signIn();
    this.words = new Words(language);
    this.api = new Api({ csrfCookie, onSignedOut });
    this.drafts = new Drafts(localStorageOrNone(), user.id);
    this.outbox = new Outbox(sessionStorageOrNone(), user.id);
    this.notices = new Notices(this.words);
    this.status = new StatusLine(this.words);
    this.place = new Place((id) => this.#open(id));
    this.drawer = new Drawer();
    this.list = new ConversationList({ api: this.api, onChange: () => this.#showList() });
    this.sidebar = new SidebarView(this.words, new ConversationActions(this));
    this.models = new ModelMenu({ words: this.words, preferences, onChange: () => this.#showModel() });
    this.records = new GenerationRecords({ api: this.api, onLoaded: (message) => this.transcript.mark(message) });
    this.composer = new ComposerView({
      send: (text) => this.#send(text),
      stop: () => this.#conversation.stop().catch((error) => this.notices.failed(error)),
      draft: (text) => this.#editing || this.drafts.set(this.#conversation.id, text),
      cancelEdit: () => this.#edit(null),
      wait: () => this.notices.say(this.words.say("wait")),
    });
    this.scroll = new ScrollKeeper(byId("scroller"), byId("transcript"), (left) => (byId("to-latest").hidden = !left));
    this.actions = new MessageActions(this.words, {
      conversation: () => this.#conversation,
      choice: () => this.models.choice,
      edit: (message) => this.#edit(message),
      say: (words) => this.notices.say(words),
      draft: (text) => this.#write(text),
      failed: (error) => this.notices.failed(error),
      started: () => this.scroll.stick(),
    });
    this.transcript = new TranscriptView({
      element: byId("transcript"),
      words: this.words,
      names: { model: (provider, model) => this.models.name(provider, model) },
      onAction: (name, item, element) => this.actions.act(name, item, element),
      onSeen: (message) => this.records.want(message),
    });
    const on = { state: (state) => this.#stateChanged(state), nudge: (frame) => this.#nudged(frame), signedOut: onSignedOut };
    this.transports = new Transports({ api: this.api, websocketUrl, preferences, on });
  }

  get conversation() {
    return this.#conversation;
  }

  start() {
    byId("to-latest").addEventListener("click", () => this.scroll.stick());
    for (const id of ["new-chat", "new-chat-top"]) this.place.lead(byId(id), () => this.leave());
    for (const radio of document.querySelectorAll('[name="transport"]')) {
      radio.checked = radio.value === this.transports.current.name;
      radio.addEventListener("change", () => this.#switch(radio.value));
    }
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#wake());
    this.status.transport = this.transports.current.name;
    this.transports.open();
    this.#open(this.#page.conversation);
    this.api.providers().then(
      ({ items }) => this.models.fill(items),
      (error) => this.notices.failed(error),
    );
  }

  /** To a conversation, or to a new one. */
  go(id) {
    this.place.go(id);
    this.#open(id);
    this.drawer.close();
    this.composer.focus();
  }

  leave() {
    this.go(null);
  }

  // Internal

  #open(id) {
    this.composer.flush();
    this.#conversation?.close();
    this.notices.clear();
    this.#edit(null);
    const conversation = new OpenConversation({
      id,
      api: this.api,
      outbox: this.outbox,
      transport: this.transports.current,
      on: {
        change: () => conversation === this.#conversation && this.#show(),
        reply: (message) => conversation === this.#conversation && this.#replied(message),
        named: (named) => conversation === this.#conversation && this.#named(named),
      },
    });
    this.#conversation = conversation;
    this.composer.text = this.drafts.get(id);
    byId("transcript").setAttribute("aria-busy", "true");
    this.scroll.stick();
    this.#show();
    this.#showList();
    this.#load(conversation);
  }

  async #load(conversation) {
    const { id } = conversation;
    try {
      const about = id ? this.api.conversation(id) : null;
      await Promise.all([conversation.open(), about]);
      if (conversation !== this.#conversation) return;
      if (about) {
        const known = await about;
        this.place.title = known.title || this.words.say("untitled");
        this.models.prefer(known);
      }
      this.scroll.stick();
    } catch (error) {
      if (conversation === this.#conversation) this.notices.failed(error, { stays: true });
    } finally {
      byId("transcript").removeAttribute("aria-busy");
      if (conversation === this.#conversation) this.#show();
    }
  }

  #send(text) {
    const message = this.#editing;
    this.scroll.stick();
    if (!message) {
      this.drafts.set(this.#conversation.id, "");
      this.#conversation.send(text, this.models.choice);
      return;
    }
    this.#edit(null);
    this.#conversation.edit(message, text, this.models.choice).catch((error) => {
      this.notices.failed(error);
      this.#edit(message);
      this.composer.text = text;
    });
  }

  #edit(message) {
    const wasEditing = this.#editing;
    this.#editing = message;
    this.composer.isEditing = message !== null;
    if (message) this.#write(message.text);
    else if (wasEditing) this.composer.text = this.drafts.get(this.#conversation?.id);
  }

  #write(text) {
    this.composer.text = text;
    this.composer.focus();
  }

  #show() {
    const conversation = this.#conversation;
    this.transcript.show(conversation);
    const isEmpty = !conversation.id && !conversation.pending.length;
    byId("welcome").hidden = !isEmpty;
    this.composer.isBusy = conversation.running !== null || conversation.isSending;
    this.#showModel();
  }

  #replied(message) {
    this.transcript.mark(message);
    if (message.isLive) return;
    this.transcript.show(this.#conversation); // its end shows at once, also where frames are rare
    this.composer.isBusy = this.#conversation.running !== null;
    this.notices.announce(this.words.say(message.status === "completed" ? "reply.done" : `status.${message.status}`));
    this.list.refreshSoon();
  }

  #named(id) {
    this.drafts.set(null, "");
    this.place.go(id, { replace: true });
    this.list.refreshSoon();
  }

  #showList() {
    const id = this.#conversation?.id ?? null;
    this.sidebar.show(this.list.items, id);
    const item = this.list.items.find((candidate) => candidate.id === id);
    if (item || id === null) this.place.title = item ? item.title || this.words.say("untitled") : null;
  }

  #showModel() {
    const upstream = this.#conversation?.running?.facts.upstream ?? this.models.upstream;
    this.status.upstream = upstream;
  }

  #switch(name) {
    this.transports.choose(name, (transport) => this.#conversation.moveTo(transport));
    this.status.transport = name;
  }

  #stateChanged(state) {
    this.status.connection = state;
    if (state.state === "connected") this.list.refreshSoon(); // what changed meanwhile went unheard
  }

  #nudged({ id, action }) {
    this.list.refreshSoon();
    if (id !== this.#conversation.id) return;
    if (action === "deleted") this.leave();
    else this.#conversation.sync().catch(() => {}); // the next nudge or look makes up for it
  }

  #wake() {
    this.transports.wake();
    this.list.refreshSoon();
    this.#conversation.sync().catch(() => {});
  }

  #signIn() {
    this.composer.flush();
    location.assign(`${this.#page.loginUrl}?${new URLSearchParams({ next: location.pathname })}`);
  }
}

/* Where cookies are forbidden, so much as naming the storage throws. */
const storageOrNone = (name) => {
  try {
    return window[name];
  } catch {
    return null;
  }
};
const localStorageOrNone = () => storageOrNone("localStorage");
const sessionStorageOrNone = () => storageOrNone("sessionStorage");
