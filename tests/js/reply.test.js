import assert from "node:assert/strict";
import { test } from "node:test";
import { APPLIED, DUPLICATE, GAP, Reply } from "../../static/chat/reply.js";

const START = { provider: "p", model: "m", upstream: "sse" };
const begun = () => {
  const reply = new Reply({ generation: "g", message: "m" });
  reply.apply("start", 1, START);
  return reply;
};

test("text grows event by event, and the final event has the last word", () => {
  const reply = begun();
  reply.apply("message", 2, { delta: "Hel", isFinal: false });
  reply.apply("message", 3, { delta: "lo", isFinal: false });
  assert.equal(reply.text, "Hello");
  assert.equal(reply.status, "streaming");
  reply.apply("message", 4, { delta: "", isFinal: true, finish_reason: "stop", text: "Hello!", usage: { output_tokens: 2 } });
  assert.deepEqual([reply.text, reply.status, reply.ended, reply.upstream], ["Hello!", "completed", true, "sse"]);
});

test("an event that came before is dropped", () => {
  const reply = begun();
  reply.apply("message", 2, { delta: "a" });
  assert.equal(reply.apply("message", 2, { delta: "a" }), DUPLICATE);
  assert.equal(reply.apply("start", 1, START), DUPLICATE);
  assert.equal(reply.text, "a");
});

test("an event from beyond a gap changes nothing", () => {
  const reply = begun();
  assert.equal(reply.apply("message", 3, { delta: "b" }), GAP);
  assert.deepEqual([reply.text, reply.seq], ["", 1]);
});

test("a snapshot replaces all and sets the cursor", () => {
  const reply = begun();
  reply.apply("message", 2, { delta: "old" });
  const snapshot = { text: "new text", reasoning: "thought", steps: [], images: [], status: "streaming" };
  assert.equal(reply.apply("snapshot", 40, snapshot), APPLIED);
  assert.deepEqual([reply.text, reply.reasoning, reply.seq], ["new text", "thought", 40]);
  assert.equal(reply.apply("message", 41, { delta: "!" }), APPLIED);
  assert.equal(reply.text, "new text!");
});

test("a snapshot of an ended reply waits for its terminal event", () => {
  const reply = begun();
  reply.apply("snapshot", 8, { text: "part", reasoning: "", status: "failed" });
  assert.equal(reply.ended, false);
  reply.apply("error", 9, { error: "words", code: "UPSTREAM_TIMEOUT", details: {}, retryable: true });
  assert.deepEqual([reply.status, reply.error.code, reply.text], ["failed", "UPSTREAM_TIMEOUT", "part"]);
});

test("a stop keeps the text", () => {
  const reply = begun();
  reply.apply("message", 2, { delta: "kept" });
  reply.apply("message", 3, { delta: "", isFinal: true, finish_reason: "cancelled", text: "kept" });
  assert.deepEqual([reply.status, reply.text], ["cancelled", "kept"]);
});

test("an interruption is not a failure", () => {
  const reply = begun();
  reply.apply("error", 2, { error: "words", code: "INTERRUPTED", details: {}, retryable: true });
  assert.equal(reply.status, "interrupted");
});

test("nothing comes after the end", () => {
  const reply = begun();
  reply.apply("error", 2, { error: "words", code: "EMPTY_REPLY", details: {}, retryable: true });
  assert.equal(reply.apply("message", 3, { delta: "late" }), DUPLICATE);
  assert.equal(reply.text, "");
});

test("the record of an ended generation settles it, that of a running one does not", () => {
  const reply = begun();
  reply.settle({ status: "streaming", seq: 5, text: "x" });
  assert.equal(reply.seq, 1);
  const record = { status: "completed", seq: 9, text: "all", reasoning: "", usage: null, finish_reason: "stop", error: null };
  reply.settle({ ...record, provider: "p", model: "m", upstream: "websocket" });
  assert.deepEqual([reply.status, reply.text, reply.seq, reply.upstream], ["completed", "all", 9, "websocket"]);
});

test("steps of a workflow begin and end", () => {
  const reply = begun();
  reply.apply("step_start", 2, { index: 1, total: 2, name: "Read" });
  assert.deepEqual(reply.steps, [{ index: 1, total: 2, name: "Read", duration: null }]);
  reply.apply("step_end", 3, { index: 1, name: "Read", duration_ms: 12 });
  assert.equal(reply.steps[0].duration, 12);
});

test("a note changes neither text nor status, and stands in the place of an earlier one of its kind", () => {
  const reply = begun();
  for (const [seq, position] of [[2, 3], [3, 1]]) reply.apply("note", seq, { note: "queued", details: { position } });
  reply.apply("note", 4, { note: "trimmed", details: { left_out: 12 } });
  assert.deepEqual([reply.text, reply.status, reply.seq], ["", "queued", 4]);
  const place = { note: "queued", details: { position: 1 } };
  assert.deepEqual(reply.notes, [place, { note: "trimmed", details: { left_out: 12 } }]);
});

test("a note of somebody else's answer says who answers, and who was asked stays known", () => {
  const reply = begun();
  reply.apply("note", 2, { note: "fallback", details: { provider: "other", model: "two", upstream: "websocket" } });
  assert.deepEqual([reply.provider, reply.model, reply.upstream, reply.asked], ["other", "two", "websocket", "p"]);
});

test("a snapshot brings its notes in the place of those there were", () => {
  const reply = begun();
  reply.apply("note", 2, { note: "queued", details: { position: 1 } });
  const notes = [{ note: "fallback", details: { provider: "other", model: "two" } }];
  reply.apply("snapshot", 9, { text: "so far", reasoning: "", steps: [], images: [], notes, status: "streaming" });
  assert.deepEqual([reply.notes, reply.provider], [notes, "other"]);
});

test("a settled reply has the notes of the record", () => {
  const reply = begun();
  const notes = [{ note: "cached", details: { seconds: 180 } }];
  reply.settle({ status: "completed", seq: 9, text: "all", reasoning: "", usage: null, finish_reason: "stop", error: null, notes });
  assert.deepEqual(reply.notes, notes);
});
