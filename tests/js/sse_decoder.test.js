import assert from "node:assert/strict";
import { test } from "node:test";
import { SseDecoder } from "../../static/chat/sse_decoder.js";

const bytes = (text) => new TextEncoder().encode(text);
const STREAM = 'id: 1\r\nevent: start\r\ndata: {"a":1}\r\n\r\n: comment\nid: 2\nevent: message\ndata: 你好 🌍\n\ndata: one\rdata: two\r\rdata: lost';
const EVENTS = [
  { event: "start", data: '{"a":1}', id: "1" },
  { event: "message", data: "你好 🌍", id: "2" },
  { event: "message", data: "one\ntwo", id: "2" },
];

test("events of a whole stream; the unterminated one is left out", () => {
  assert.deepEqual(new SseDecoder().decode(bytes(STREAM)), EVENTS);
});

test("the same events wherever the bytes are cut", () => {
  const whole = bytes(STREAM);
  for (let cut = 0; cut <= whole.length; cut++) {
    const decoder = new SseDecoder();
    const events = [...decoder.decode(whole.slice(0, cut)), ...decoder.decode(whole.slice(cut))];
    assert.deepEqual(events, EVENTS, `cut at ${cut}`);
  }
});

test("one byte at a time", () => {
  const decoder = new SseDecoder();
  assert.deepEqual([...bytes(STREAM)].flatMap((byte) => decoder.decode(Uint8Array.of(byte))), EVENTS);
});

test("a line separator of Unicode ends no line", () => {
  assert.deepEqual(new SseDecoder().decode(bytes("data: a\u2028b\u0085c\n\n")), [{ event: "message", data: "a\u2028b\u0085c", id: "" }]);
});

test("an event without an end is refused before it fills the memory", () => {
  const decoder = new SseDecoder();
  const chunk = new Uint8Array(8_000_000).fill(97);
  assert.throws(() => {
    for (let count = 0; count < 10; count++) decoder.decode(chunk);
  }, RangeError);
});
