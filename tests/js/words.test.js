import assert from "node:assert/strict";
import { test } from "node:test";
import { en } from "../../static/chat/i18n/en.js";
import { zhHans } from "../../static/chat/i18n/zh-hans.js";
import { Words } from "../../static/chat/words.js";
import { Backoff, FIRST_DELAY_MS, LONGEST_DELAY_MS } from "../../static/chat/backoff.js";
import { textBefore } from "../../static/chat/continuation.js";
import { randomKey } from "../../static/chat/identifier.js";

const SAME_IN_BOTH = ["status.completed", "upstream.sse", "upstream.websocket", "upstream.ndjson"];

test("every English word has a Chinese one, but for names", () => {
  const missing = Object.keys(en).filter((name) => !(name in zhHans) && !SAME_IN_BOTH.includes(name));
  assert.deepEqual(missing, []);
  assert.deepEqual(Object.keys(zhHans).filter((name) => !(name in en)), []);
});

test("both languages fill in the same values", () => {
  const values = (words) => [...words.matchAll(/\{\w+\}/g)].map(([value]) => value).sort();
  for (const name of Object.keys(zhHans)) assert.deepEqual(values(zhHans[name]), values(en[name]), name);
});

test("errors are worded by their code, else by the server", () => {
  assert.equal(new Words("zh-hans").error({ code: "EMPTY_REPLY", error: "empty" }), zhHans["error.EMPTY_REPLY"]);
  assert.equal(new Words("en").error({ code: "NEW_CODE", error: "from the server" }), "from the server");
  assert.equal(new Words("en").error({}), en["error.unknown"]);
});

test("a failure in mid-answer says that what has come is kept, where the answer can go on", () => {
  for (const language of ["en", "zh-hans"]) {
    const words = new Words(language);
    const unavailable = { code: "UPSTREAM_UNAVAILABLE", error: "" };
    assert.notEqual(words.error(unavailable, { begun: true }), words.error(unavailable));
    assert.equal(words.error(unavailable, { begun: false }), words.error(unavailable));
    assert.equal(words.error({ code: "CONTENT_FILTERED" }, { begun: true }), words.error({ code: "CONTENT_FILTERED" }));
  }
  assert.match(new Words("en").error({ code: "UPSTREAM_TIMEOUT" }, { begun: true }), /is kept; you can continue\.$/);
});

test("a queue that is full or slow is no trouble of the upstream's", () => {
  const words = new Words("en");
  const limited = (details) => words.error({ code: "UPSTREAM_RATE_LIMITED", details });
  assert.equal(limited({ provider: "p", queue: 0 }), en["error.QUEUE_FULL"]);
  assert.equal(limited({ provider: "p" }), en["error.UPSTREAM_RATE_LIMITED"]);
  assert.equal(words.error({ code: "UPSTREAM_TIMEOUT", details: { timeout: "queue" } }), en["error.QUEUE_SLOW"]);
});

test("waits grow from the first to the longest, at least half of each", () => {
  const low = new Backoff(() => 0);
  const high = new Backoff(() => 1);
  assert.deepEqual([low.next(), high.next()], [FIRST_DELAY_MS / 2, FIRST_DELAY_MS]);
  for (let count = 0; count < 50; count++) low.next(), high.next();
  assert.deepEqual([low.next(), high.next(), low.next(60_000)], [LONGEST_DELAY_MS / 2, LONGEST_DELAY_MS, 60_000]);
  low.reset();
  assert.equal(low.next(), FIRST_DELAY_MS / 2);
});

test("the text before a continuation, whichever was read first", () => {
  assert.equal(textBefore("base grown", " grown"), "base");
  assert.equal(textBefore("base gro", " grown"), "base");
  assert.equal(textBefore("base", ""), "base");
  assert.equal(textBefore("all", "all and more"), "");
});

test("keys are version 4 UUIDs, also without a secure context", () => {
  const insecure = { getRandomValues: (bytes) => globalThis.crypto.getRandomValues(bytes) };
  for (const source of [globalThis.crypto, insecure]) {
    assert.match(randomKey(source), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  assert.notEqual(randomKey(insecure), randomKey(insecure));
});
