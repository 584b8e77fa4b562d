import assert from "node:assert/strict";
import { test } from "node:test";
import { MarkdownBlocks } from "../../static/chat/markdown.js";

const SAMPLE =
  "# Title\n\nSome *words*\nand a line\n\n- a\n- b\n\n  c\n\n1. x\n2. y\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> q\n\nThe end 你好";
const html = (blocks) => blocks.map((block) => block.html).join("");
const whole = (text) => html(new MarkdownBlocks().update(text, { final: true }));

test("a text that grows by any step ends as one that came at once", () => {
  for (const step of [1, 2, 7, 40]) {
    const blocks = new MarkdownBlocks();
    for (let end = step; end < SAMPLE.length; end += step) {
      assert.equal(html(blocks.update(SAMPLE.slice(0, end))), whole(SAMPLE.slice(0, end)), `up to ${end}`);
    }
    assert.equal(html(blocks.update(SAMPLE, { final: true })), whole(SAMPLE));
  }
});

test("settled blocks are not made again", () => {
  const blocks = new MarkdownBlocks();
  const [first] = blocks.update("one\n\ntwo\n\nthr");
  assert.equal(first.settled, true);
  assert.equal(blocks.update("one\n\ntwo\n\nthree\n\nfour")[0], first);
});

test("the cost of a long reply grows with its length, not with its square", () => {
  const time = (paragraphs) => {
    const blocks = new MarkdownBlocks();
    let text = "";
    const begun = performance.now();
    for (let count = 0; count < paragraphs; count++) blocks.update((text += `Paragraph ${count} with a few words.\n\n`));
    return performance.now() - begun;
  };
  time(500);
  const few = time(500);
  assert.ok(time(2000) < few * 40 + 200, "four times the text: sixteen times as dear would be a square, with room for noise");
});

test("a text that goes on after its end joins its last block", () => {
  const blocks = new MarkdownBlocks();
  blocks.update("one half", { final: true });
  assert.equal(html(blocks.update("one half and the other", { final: true })), whole("one half and the other"));
});

test("another text replaces the first", () => {
  const blocks = new MarkdownBlocks();
  blocks.update("a\n\nb\n\nc");
  assert.equal(html(blocks.update("x\n\ny", { final: true })), whole("x\n\ny"));
});

test("HTML of a reply is shown, not obeyed", () => {
  const shown = whole("<script>alert(1)</script>\n\ntext <img src=x onerror=alert(1)>");
  assert.doesNotMatch(shown, /<(script|img)/);
  assert.match(shown, /script/);
});

test("a picture from elsewhere becomes a link", () => {
  const shown = whole('![cat "x"](https://example.org/cat.png)');
  assert.match(shown, /<a href="https:\/\/example.org\/cat.png">/);
  assert.doesNotMatch(shown, /<img/);
});

test("a link that is defined later is a link in the end", () => {
  const blocks = new MarkdownBlocks();
  const text = "See [here][1].\n\nMore.\n\n[1]: https://example.org/";
  for (let end = 1; end < text.length; end++) blocks.update(text.slice(0, end));
  assert.match(html(blocks.update(text, { final: true })), /href="https:\/\/example.org\/"/);
});

test("lines that end in CRLF", () => {
  assert.equal(whole("a\r\n\r\nb\r\n"), whole("a\n\nb\n"));
});
