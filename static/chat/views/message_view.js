/* One message in the page. */

import { noteLines, waitingLine } from "../notes.js";
import { MarkdownView } from "./markdown_view.js";
import { action, part, piece, setText } from "./pieces.js";

export class MessageView {
  element = piece("message");
  #words;
  #markdown = null;
  #reasoning = null;
  #error = null;

  constructor(words) {
    this.#words = words;
  }

  /** A message of the thread. `place`: among its siblings. `names`: {model(provider, model), provider(id)} for people. */
  show(message, { place, names }) {
    const isReply = message.role === "assistant";
    this.#describe(message, message.status);
    if (isReply) this.#showReply(message, names);
    else setText(this.#part("text"), message.text);
    this.#showPlace(place);
    if (isReply) this.#showFacts(message, names);
    else this.#dropFacts();
    this.#showActions(message);
    this.#showError(isReply ? failureOf(message, this.#words) : null);
  }

  /** A message that is on its way. */
  showPending(entry) {
    const status = entry.sending ? "sending" : "unsent";
    this.#describe({ role: "user", id: "", generation: null }, status);
    setText(this.#part("text"), entry.text);
    setText(this.#part("outcome"), this.#words.say(status));
    for (const name of ["earlier", "later", "copy", "edit", "regenerate", "proceed"]) this.#action(name)?.remove();
    this.#dropFacts();
    this.#showError(entry.error ? { words: this.#words.error(entry.error), actions: ["retry", "discard"] } : null);
  }

  // Internal

  #describe({ role, id, generation }, status) {
    const { dataset } = this.element;
    Object.assign(dataset, { role, status, messageId: id, generation: generation ?? "" });
    setText(this.#part("who"), this.#words.say(`who.${role}`));
  }

  #showReply(message, names) {
    const { isLive, ahead } = message;
    this.element.setAttribute("aria-busy", String(isLive)); // spoken when it is whole, not word by word
    this.#markdown ??= new MarkdownView(this.#part("text"));
    this.#markdown.show(message.text, { final: !isLive });
    this.#showReasoning(message);
    this.#showImages(message.images);
    this.#part("progress").hidden = !isLive;
    const step = message.steps.findLast(({ duration }) => duration === null);
    const doing = step ? `${step.name} (${step.index}/${step.total})` : this.#words.say(`status.${message.status}`);
    if (isLive) setText(this.#part("progress-words"), ahead === null ? doing : waitingLine(ahead, this.#words));
    this.#showNotes(noteLines(message, this.#words, names));
  }

  #showNotes(lines) {
    const list = this.#part("notes");
    list.hidden = lines.length === 0;
    while (list.childElementCount > lines.length) list.lastElementChild.remove();
    while (list.childElementCount < lines.length) list.append(document.createElement("li"));
    for (const [index, line] of lines.entries()) setText(list.children[index], line);
  }

  #showReasoning({ reasoning, text, isLive }) {
    if (!reasoning) return;
    if (!this.#reasoning) {
      this.#reasoning = piece("reasoning");
      this.#part("text").before(this.#reasoning);
    }
    setText(part(this.#reasoning, "reasoning-text"), reasoning);
    this.#reasoning.classList.toggle("is-live", isLive && !text);
  }

  #showImages(images) {
    const place = this.#part("images");
    place.hidden = images.length === 0;
    for (const { url, width, height, alt } of images.slice(place.childElementCount)) {
      const image = new Image(width, height);
      image.alt = alt ?? "";
      image.loading = "lazy";
      image.src = url;
      place.append(image);
    }
  }

  #showPlace({ index, count }) {
    this.#part("siblings").hidden = count < 2;
    setText(this.#part("place"), `${index + 1}/${count}`);
    this.#action("earlier").disabled = index === 0;
    this.#action("later").disabled = index === count - 1;
  }

  #showFacts(message, names) {
    const { transport, upstream, provider, model, usage, finishReason } = message.facts;
    const say = (name, values) => this.#words.say(name, values);
    const outcome = finishReason && finishReason !== "stop" && finishReason !== "cancelled" ? finishReason : message.status;
    setText(this.#part("outcome"), message.isLive ? "" : say(`status.${outcome}`));
    this.#fact("transport", transport ?? "record", say(`read.${transport ?? "record"}`));
    this.#fact("upstream", upstream ?? "", upstream ? say("upstream.shown", { upstream: say(`upstream.${upstream}`) }) : "");
    setText(this.#part("model"), model ? names.model(provider, model) : "");
    const count = usage?.output_tokens;
    setText(this.#part("usage"), count ? say(usage.estimated ? "tokens.estimated" : "tokens", { count }) : "");
  }

  #dropFacts() {
    for (const name of ["transport", "upstream", "model", "usage"]) this.#part(name)?.remove();
  }

  #fact(name, value, words) {
    this.#part(name).dataset.value = value;
    setText(this.#part(name), words);
  }

  #showActions(message) {
    const isReply = message.role === "assistant";
    this.#action("copy").hidden = !message.text || message.isLive;
    this.#action("edit").hidden = isReply;
    this.#action("regenerate").hidden = !isReply || message.isLive;
    this.#action("proceed").hidden = !isReply || message.isLive || !message.text || !canGoOn(message);
  }

  /** `failure`: {words, actions} or null. A failure that is shown already is left alone: it would be spoken again. */
  #showError(failure) {
    const shown = JSON.stringify(failure);
    if (this.#error?.shown === shown) return;
    this.#error?.element.remove();
    this.#error = null;
    if (!failure) return;
    const element = piece("error");
    part(element, "words").textContent = failure.words;
    for (const button of element.querySelectorAll("[data-action]")) {
      if (!failure.actions.includes(button.dataset.action)) button.remove();
    }
    this.#part("progress").after(element);
    this.#error = { element, shown };
  }

  #part(name) {
    return part(this.element, name);
  }

  #action(name) {
    return action(this.element, name);
  }
}

/* A reply that was stopped, or is too long for one go, can go on; after a failure its own button says so. */
const canGoOn = ({ status, facts }) => status === "cancelled" || facts.finishReason === "length";

function failureOf({ status, error, text }, words) {
  if (status !== "failed" && status !== "interrupted") return null;
  const known = error ?? { code: status === "interrupted" ? "INTERRUPTED" : "" };
  // What would be refused again is not gone on with; another answer may be another model's.
  const mayGoOn = text && (known.retryable ?? status === "interrupted");
  return { words: words.error(known, { begun: Boolean(text) }), actions: mayGoOn ? ["retry", "continue"] : ["retry"] };
}
