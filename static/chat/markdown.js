/* A growing Markdown text as blocks of HTML. Blocks that can't change any more are parsed once, so that a long reply costs what
   it is long, not its square. The HTML is not yet safe: see views/markdown_view.js. */

import { Marked } from "../vendor/marked/marked.esm.js";

const escape = (text) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/* A link's definition changes the blocks before it: it is heeded at the end, when all are known. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // A picture from elsewhere would tell its server who reads what, and the page's policy refuses it: show the way to it.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    // HTML in a reply is nearly always meant to be read, not obeyed.
    html: ({ text, block }) => (block ? `<p>${escape(text)}</p>\n` : escape(text)),
    // The line's end stands in the text too, for those who copy it or read it by a machine.
    br: () => "<br>\n",
  },
});

export class MarkdownBlocks {
  #settled = []; // {html}
  #settledLength = 0;
  #text = "";
  #final = false;

  /** All of the text so far; `final` when nothing will be added. Returns [{html, settled}]; settled ones stay the same objects. */
  update(text, { final = false } = {}) {
    const isOther = !text.startsWith(this.#text.slice(0, this.#settledLength));
    const goesOn = this.#final && (!final || text !== this.#text); // the last block may go on too
    if (isOther || goesOn || (final && DEFINITION.test(text))) this.#reset();
    this.#text = text;
    this.#final = final;
    const tokens = marked.lexer(text.slice(this.#settledLength).replace(/\r\n?/g, "\n"));
    const links = tokens.links;
    const settled = final ? tokens.length : lastBlock(tokens);
    const isFaithful = !text.includes("\r", this.#settledLength);
    const open = [];
    for (const [index, token] of tokens.entries()) {
      const isSettled = index < settled && isFaithful;
      if (isSettled) this.#settledLength += token.raw.length;
      if (token.type === "space") continue;
      const block = { html: marked.parser(Object.assign([token], { links })), settled: isSettled || final };
      (isSettled ? this.#settled : open).push(block);
    }
    return [...this.#settled, ...open];
  }

  #reset() {
    this.#settled = [];
    this.#settledLength = 0;
  }
}

/* The index of the last block that is not blank: what comes next may belong to it. */
function lastBlock(tokens) {
  for (let index = tokens.length - 1; index >= 0; index--) if (tokens[index].type !== "space") return index;
  return 0;
}
