/* The open conversation in the page: its transcript, and the composer below it. */

import { GenerationRecords } from "../generation_records.js";
import { waitingLine } from "../notes.js";
import { OpenConversation } from "../open_conversation.js";
import { ComposerView } from "./composer_view.js";
import { MessageActions } from "./message_actions.js";
import { ScrollKeeper } from "./scroll_keeper.js";
import { TranscriptView } from "./transcript_view.js";

const byId = (id) => document.getElementById(id);

export class ConversationPane {
  conversation = null;
  #page;
  #on;
  #editing = null; // the message whose new words are being written
  #composer;
  #scroll;
  #transcript;

  /** `page`: what the pieces of the page share: api, words, drafts, outbox, notices, models. `on.named(id)`: it exists now;
   * `on.known(record)`: what the API says of it; `on.changed()`: what is answered may be another; `on.ended()`: a reply has. */
  constructor(page, on) {
    const { api, words, drafts, notices, models } = page;
    this.#page = page;
    this.#on = on;
    this.#composer = new ComposerView({
      send: (text) => this.#send(text),
      stop: () => this.conversation.stop().catch((error) => notices.failed(error)),
      draft: (text) => this.#editing || drafts.set(this.conversation.id, text),
      cancelEdit: () => this.#edit(null),
      wait: () => notices.say(words.say("wait")),
    });
    this.#scroll = new ScrollKeeper(byId("scroller"), byId("transcript"), (left) => (byId("to-latest").hidden = !left));
    byId("to-latest").addEventListener("click", () => this.#scroll.stick());
    const records = new GenerationRecords({ api, onLoaded: (message) => this.#transcript.mark(message) });
    const actions = new MessageActions(words, {
      conversation: () => this.conversation,
      choice: () => models.choice,
      edit: (message) => this.#edit(message),
      say: (said) => notices.say(said),
      draft: (text) => this.#write(text),
      failed: (error) => notices.failed(error),
      started: () => this.#scroll.stick(),
    });
    this.#transcript = new TranscriptView({
      element: byId("transcript"),
      words,
      names: {
        model: (provider, model) => models.name(provider, model),
        provider: (provider) => models.provider(provider),
      },
      onAction: (name, item, element) => actions.act(name, item, element),
      onSeen: (message) => records.want(message),
    });
  }

  /** Shows a conversation; null for a new one. */
  open(id, transport) {
    const { api, outbox, drafts, notices } = this.#page;
    this.#edit(null);
    this.keepDraft();
    this.conversation?.close();
    notices.clear();
    const current = (handle) => (value) => conversation === this.conversation && handle(value);
    const on = {
      change: current(() => this.#show()),
      reply: current((message) => this.#replied(message)),
      named: current((named) => this.#named(named)),
    };
    const conversation = new OpenConversation({ id, api, outbox, transport, on });
    this.conversation = conversation;
    this.#composer.text = drafts.get(id);
    this.#scroll.stick();
    this.#load(conversation);
  }

  /** The upstream of the reply that is being written, if any. */
  get upstream() {
    return this.conversation?.running?.facts.upstream ?? null;
  }

  /** What is typed is stored at once. */
  keepDraft() {
    this.#composer.flush();
  }

  /** Where there is a real keyboard; elsewhere the one on the screen would cover half the page. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.#composer.focus();
  }

  redraw() {
    this.#transcript.redraw();
  }

  // Internal

  async #load(conversation) {
    const { api, notices } = this.#page;
    this.#show();
    byId("transcript").setAttribute("aria-busy", "true"); // an old conversation is not read out
    try {
      const [known] = await Promise.all([conversation.id && api.conversation(conversation.id), conversation.open()]);
      if (conversation !== this.conversation) return;
      if (known) this.#on.known(known);
      this.#scroll.stick();
    } catch (error) {
      if (conversation === this.conversation) notices.failed(error, { stays: true });
    } finally {
      if (conversation === this.conversation) byId("transcript").removeAttribute("aria-busy");
    }
  }

  #send(text) {
    const { drafts, models, notices } = this.#page;
    const message = this.#editing;
    this.#scroll.stick();
    if (!message) {
      drafts.set(this.conversation.id, "");
      this.conversation.send(text, models.choice);
      return;
    }
    this.#edit(null);
    this.conversation.edit(message, text, models.choice).catch((error) => {
      notices.failed(error);
      this.#edit(message);
      this.#write(text);
    });
  }

  #edit(message) {
    const wasEditing = this.#editing !== null;
    if (!wasEditing && message) this.keepDraft();
    this.#editing = message;
    this.#composer.isEditing = message !== null;
    if (message) this.#write(message.text);
    else if (wasEditing) this.#composer.text = this.#page.drafts.get(this.conversation.id);
  }

  #write(text) {
    this.#composer.text = text;
    this.#composer.focus();
  }

  #show() {
    const { conversation } = this;
    this.#transcript.show(conversation);
    byId("welcome").hidden = conversation.id !== null || conversation.pending.length > 0;
    this.#showBusy();
  }

  #replied(message) {
    const { words, notices } = this.#page;
    this.#transcript.mark(message);
    if (message.isLive) {
      // Its line in the page is silent, as all of a reply that is not whole.
      if (message.ahead !== null) notices.announce(waitingLine(message.ahead, words));
      return;
    }
    this.#transcript.show(this.conversation); // an end shows at once, also in a page that draws no frames
    this.#showBusy();
    this.#on.ended();
    notices.announce(words.say(message.status === "completed" ? "reply.done" : `status.${message.status}`));
  }

  #showBusy() {
    this.#composer.isBusy = this.conversation.running !== null || this.conversation.isSending;
    this.#on.changed();
  }

  #named(id) {
    this.#page.drafts.set(null, "");
    this.#on.named(id);
  }
}
