import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../../static/chat/api.js";
import { OpenConversation } from "../../static/chat/open_conversation.js";
import { START } from "./upstream.js";

/* A transport in the hands of the test: a send waits until the test accepts or refuses it. */
class Hand {
  name = "websocket";
  sends = [];
  readers = new Map();
  stopped = [];
  send = (fields, begin) =>
    new Promise((resolve, reject) => {
      const accept = (start) => {
        const reader = begin(start);
        if (reader) this.readers.set(start.generation, reader);
        resolve(start);
      };
      this.sends.push({ fields, accept, reject });
    });
  subscribe = (generation, reader) => this.readers.set(generation, reader);
  unsubscribe = (generation) => this.readers.delete(generation);
  stop = (generation) => (this.stopped.push(generation), true);
}

class Box {
  entries = new Map();
  of = (conversation) => [...this.entries.values()].filter((entry) => entry.conversation === conversation);
  put = (entry) => this.entries.set(entry.key, entry);
  remove = (key) => this.entries.delete(key);
}

const record = (fields) => ({ conversation: "c", parent: null, reasoning: "", images: [], status: "completed", generation: null, ...fields });
const QUESTION = record({ id: "u", role: "user", text: "hello" });
const ANSWER = record({ id: "m", parent: "u", role: "assistant", text: "part", status: "streaming", generation: "g" });

function opened({ id = null, messages = [], generation = null, proceeded = null } = {}) {
  const transport = new Hand();
  const outbox = new Box();
  const named = [];
  const api = {
    messages: async () => ({ items: messages, next: null }),
    generation: async () => generation,
    proceed: async () => proceeded,
  };
  const on = { change: () => {}, reply: () => {}, named: (name) => named.push(name) };
  const conversation = new OpenConversation({ id, api, outbox, transport, on });
  return { conversation, transport, outbox, named, messages };
}

const texts = (conversation) => conversation.thread.path().map(({ role, text }) => [role, text]);

test("a message shows at once, and becomes the server's when it is accepted", async () => {
  const { conversation, transport, outbox, named } = opened();
  await conversation.open();
  const sending = conversation.send("hello", { provider: "p", model: "x" });
  assert.deepEqual(conversation.pending.map(({ text, sending }) => [text, sending]), [["hello", true]]);
  assert.equal(outbox.of(null).length, 1);
  transport.sends[0].accept(START);
  await sending;
  assert.deepEqual([conversation.pending, outbox.of(null), named], [[], [], ["c"]]);
  transport.readers.get("g").event("start", 1, START);
  transport.readers.get("g").event("message", 2, { delta: "Hi" });
  assert.deepEqual(texts(conversation), [["user", "hello"], ["assistant", "Hi"]]);
});

test("a failed send keeps its text, and goes again under the same key", async () => {
  const { conversation, transport, outbox } = opened();
  await conversation.open();
  const sending = conversation.send("hello", {});
  transport.sends[0].reject(new ApiError({ status: 429, code: "RATE_LIMITED" }));
  await sending;
  const [entry] = conversation.pending;
  assert.deepEqual([entry.text, entry.sending, entry.error.code], ["hello", false, "RATE_LIMITED"]);
  assert.equal(outbox.of(null)[0].refused.code, "RATE_LIMITED");
  const again = conversation.deliver(entry);
  assert.equal(transport.sends[1].fields.key, transport.sends[0].fields.key);
  transport.sends[1].accept(START);
  await again;
  assert.deepEqual(conversation.pending, []);
});

test("what was on its way at a reload is sent again; what was refused waits for the person", async () => {
  const { conversation, transport, outbox } = opened();
  outbox.put({ key: "on its way", conversation: null, text: "a", refused: null });
  outbox.put({ key: "refused", conversation: null, text: "b", refused: { code: "TOO_LARGE" } });
  await conversation.open();
  assert.deepEqual(transport.sends.map(({ fields }) => fields.key), ["on its way"]);
  assert.equal(conversation.pending.length, 2);
});

test("a reload in mid-reply replays from the beginning without showing less", async () => {
  const generation = { status: "streaming", text: "part", reasoning: "" };
  const { conversation, transport } = opened({ id: "c", messages: [QUESTION, ANSWER], generation });
  await conversation.open();
  const reader = transport.readers.get("g");
  assert.equal(reader.cursor, 0);
  reader.event("start", 1, START);
  reader.event("message", 2, { delta: "pa" });
  assert.equal(conversation.thread.leaf.text, "part");
  reader.event("message", 3, { delta: "rt and more" });
  assert.equal(conversation.thread.leaf.text, "part and more");
});

test("a continued reply keeps the text before it", async () => {
  const answer = { ...ANSWER, text: "before, part" };
  const generation = { status: "streaming", text: ", part", reasoning: "" };
  const { conversation, transport } = opened({ id: "c", messages: [QUESTION, answer], generation });
  await conversation.open();
  const reader = transport.readers.get("g");
  reader.event("start", 1, START);
  reader.event("message", 2, { delta: ", part and the rest" });
  assert.equal(conversation.thread.leaf.text, "before, part and the rest");
});

test("an answer that goes on does not show the notes of the generation before", async () => {
  const told = { note: "fallback", details: { provider: "other", model: "two", upstream: "sse" } };
  const answer = { ...ANSWER, status: "failed", notes: [told] };
  const { conversation, transport } = opened({ id: "c", messages: [QUESTION, answer], proceeded: { ...START, generation: "g2" } });
  await conversation.open();
  const message = conversation.thread.leaf;
  assert.deepEqual(message.notes, [told]);
  await conversation.proceed(message);
  assert.deepEqual([message.notes, message.text, message.generation], [[], "part", "g2"]);
  const reader = transport.readers.get("g2");
  reader.event("start", 1, START);
  reader.event("message", 2, { delta: " and the rest" });
  assert.deepEqual([message.notes, message.text], [[], "part and the rest"]);
});

test("a message from elsewhere appears, but not while one of ours is on its way", async () => {
  const { conversation, transport, messages } = opened({ id: "c", messages: [QUESTION] });
  await conversation.open();
  const sending = conversation.send("mine", {});
  messages.push(record({ id: "u2", parent: "u", role: "user", text: "mine" }));
  await conversation.sync();
  assert.deepEqual(texts(conversation), [["user", "hello"]]);
  transport.sends[0].accept({ ...START, user_message: "u2", message: "m2" });
  await sending;
  await new Promise(setImmediate);
  assert.deepEqual(texts(conversation).slice(0, 2), [["user", "hello"], ["user", "mine"]]);
});

test("a stop before the send is accepted stops what it starts", async () => {
  const { conversation, transport } = opened();
  await conversation.open();
  const sending = conversation.send("hello", {});
  await conversation.stop();
  transport.sends[0].accept(START);
  await sending;
  assert.deepEqual(transport.stopped, ["g"]);
});

test("moving to another transport takes a send on its way along", async () => {
  const { conversation, transport } = opened();
  await conversation.open();
  const sending = conversation.send("hello", {});
  const other = new Hand();
  conversation.moveTo(other);
  transport.sends[0].reject(new ApiError());
  await new Promise(setImmediate);
  assert.equal(other.sends[0].fields.key, transport.sends[0].fields.key);
  other.sends[0].accept(START);
  await sending;
});

test("of several answers the newest shows, and the others can be turned to", async () => {
  const answers = ["first", "second"].map((text, index) => record({ id: `m${index}`, parent: "u", role: "assistant", text }));
  const { conversation } = opened({ id: "c", messages: [QUESTION, ...answers] });
  await conversation.open();
  const { thread } = conversation;
  assert.equal(thread.leaf.text, "second");
  assert.deepEqual(thread.place(thread.leaf), { index: 1, count: 2 });
  conversation.turn(thread.leaf, -1);
  assert.equal(thread.leaf.text, "first");
});
