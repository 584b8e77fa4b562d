/* A growing Markdown text in the page: what has settled is left alone, the rest is drawn anew. All HTML is sanitised here. */

import DOMPurify from "../../vendor/dompurify/purify.es.js";
import { MarkdownBlocks } from "../markdown.js";
import { part, piece } from "./pieces.js";

const HIGHLIGHT_MOST = 50_000; // characters of one block of code: past that, colours would hold up the page

const ALLOWED = {
  ALLOWED_TAGS: [
    ...["p", "br", "strong", "em", "del", "a", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "input"],
    ...["h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"],
  ],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align", "type", "checked", "disabled"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

let highlighter = null;
const loadHighlighter = () => (highlighter ??= import("../../vendor/highlight.js/highlight.min.js"));

export class MarkdownView {
  #element;
  #blocks = new MarkdownBlocks();
  #shown = []; // {block, node, adorned}
  #text = null;
  #final = false;

  constructor(element) {
    this.#element = element;
  }

  show(text, { final }) {
    if (text === this.#text && final === this.#final) return;
    this.#text = text;
    this.#final = final;
    const blocks = this.#blocks.update(text, { final });
    let same = 0;
    while (same < Math.min(blocks.length, this.#shown.length) && isSame(this.#shown[same].block, blocks[same])) same++;
    for (const { node } of this.#shown.splice(same)) node.remove();
    for (const block of blocks.slice(same)) this.#append(block);
    for (const [index, shown] of this.#shown.entries()) {
      shown.block = blocks[index];
      if (!shown.adorned && shown.block.settled) adorn(shown);
    }
  }

  #append(block) {
    const node = document.createElement("div");
    node.className = "block";
    node.append(purify.sanitize(block.html, ALLOWED));
    this.#element.append(node);
    this.#shown.push({ block, node, adorned: false });
  }
}

const isSame = (shown, block) => shown === block || shown.html === block.html;

function adorn(shown) {
  shown.adorned = true;
  for (const code of shown.node.querySelectorAll("pre > code")) {
    const language = /\blanguage-([\w+#.-]+)/.exec(code.className)?.[1] ?? "";
    const head = piece("code");
    // By the style sheet: the label is no part of the text.
    part(head, "language").dataset.language = language;
    code.parentElement.before(head);
    if (language && code.textContent.length <= HIGHLIGHT_MOST) highlight(code, language);
  }
  for (const table of shown.node.querySelectorAll("table")) {
    const scroller = document.createElement("div");
    scroller.className = "table-scroller";
    table.replaceWith(scroller);
    scroller.append(table);
  }
}

async function highlight(code, language) {
  const { default: library } = await loadHighlighter().catch(() => ({})); // uncoloured code can be read too
  if (!library?.getLanguage(language)) return;
  // The library escapes the text; its only tags are its own spans.
  code.innerHTML = library.highlight(code.textContent, { language, ignoreIllegals: true }).value;
}
