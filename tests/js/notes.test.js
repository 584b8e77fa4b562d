import assert from "node:assert/strict";
import { test } from "node:test";
import { Message } from "../../static/chat/message.js";
import { ahead, noteLines, waitingLine, withNote } from "../../static/chat/notes.js";
import { Reply } from "../../static/chat/reply.js";
import { Words } from "../../static/chat/words.js";

const english = new Words("en");
const chinese = new Words("zh-hans");
const LABELS = { deepseek: "DeepSeek", qwen: "Qwen" };
const names = { provider: (id) => LABELS[id] ?? id, model: (provider, model) => `${LABELS[provider] ?? provider} · ${model}` };

const place = (position) => ({ note: "queued", details: { position } });
const TRIMMED = { note: "trimmed", details: { left_out: 12 } };
const FALLBACK = { note: "fallback", details: { provider: "qwen", model: "qwen-plus" } };
const cached = (seconds) => ({ note: "cached", details: { seconds } });

const lines = (message, words = english) => noteLines({ text: "An answer.", asked: null, ...message }, words, names);
const stored = (fields) =>
  new Message({ id: "m", parent: "u", role: "assistant", text: "", reasoning: "", status: "queued", generation: "g", ...fields });

test("a waiting reply says how many are ahead of it, in both languages", () => {
  assert.equal(ahead([TRIMMED, place(4)]), 3);
  assert.equal(ahead([TRIMMED]), null);
  assert.match(waitingLine(3, english), /: 3 ahead of you$/);
  assert.match(waitingLine(0, english), /you are next$/);
  assert.match(waitingLine(3, chinese), /前面还有 3 个/);
  assert.notEqual(waitingLine(0, chinese), waitingLine(0, english));
});

test("a place is told of a reply that waits, and no longer when it has begun", () => {
  const message = stored({});
  message.reply = new Reply({ generation: "g", message: "m" });
  message.reply.apply("start", 1, { provider: "p", model: "m", upstream: "sse" });
  message.reply.apply("note", 2, place(2));
  assert.equal(message.ahead, 1);
  message.reply.apply("message", 3, { delta: "Hi" });
  assert.equal(message.ahead, null);
  assert.deepEqual(noteLines(message, english, names), []);
});

test("what was left out is counted in words", () => {
  assert.match(lines({ notes: [TRIMMED] })[0], /^The oldest 12 messages were left out: /);
  assert.match(lines({ notes: [{ note: "trimmed", details: { left_out: 1 } }] })[0], /^The oldest message was left out: /);
  assert.match(lines({ notes: [TRIMMED] }, chinese)[0], /12 条消息/);
});

test("somebody else's answer names both by their labels, and the asked one only where it is known", () => {
  assert.deepEqual(lines({ notes: [FALLBACK], asked: "deepseek" }), ["Answered by Qwen · qwen-plus: DeepSeek was not available."]);
  const told = { ...FALLBACK, details: { ...FALLBACK.details, asked: "deepseek" } };
  assert.deepEqual(lines({ notes: [told] }), lines({ notes: [FALLBACK], asked: "deepseek" }));
  assert.deepEqual(lines({ notes: [FALLBACK] }), ["Answered by Qwen · qwen-plus: the chosen AI was not available."]);
});

test("an answer from before says how much earlier it was given", () => {
  assert.match(lines({ notes: [cached(190)] })[0], / 3 minutes earlier/);
  assert.match(lines({ notes: [cached(60)] })[0], / 1 minute earlier/);
  assert.match(lines({ notes: [cached(0)] })[0], / 1 second earlier/);
  assert.match(lines({ notes: [cached(7300)] })[0], / 2 hours earlier/);
  assert.match(lines({ notes: [cached(190)] }, chinese)[0], /^3\s?分钟前/);
});

test("where there is no answer, nothing is said of who gave it; an unknown note is left out", () => {
  const notes = [FALLBACK, cached(5), TRIMMED, { note: "of a later version", details: {} }];
  assert.equal(lines({ notes, text: "" }).length, 1);
  assert.equal(lines({ notes }).length, 3);
});

test("a note takes the place of one of its kind", () => {
  assert.deepEqual(withNote([TRIMMED, place(2)], place(1)), [TRIMMED, place(1)]);
});

test("a message has the notes that are stored, until its reply tells others", () => {
  const message = stored({ status: "streaming", notes: [TRIMMED] });
  assert.deepEqual(message.notes, [TRIMMED]);
  message.reply = new Reply({ generation: "g", message: "m" });
  assert.deepEqual(message.notes, [TRIMMED]);
  message.reply.apply("start", 1, { provider: "deepseek", model: "m", upstream: "sse" });
  message.reply.apply("note", 2, FALLBACK);
  assert.deepEqual([message.notes, message.asked, message.facts.provider], [[FALLBACK], "deepseek", "qwen"]);
});
