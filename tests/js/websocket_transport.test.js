import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Follower } from "../../static/chat/follower.js";
import { PING_MS } from "../../static/chat/living_socket.js";
import { Reply } from "../../static/chat/reply.js";
import { SILENCE_MS } from "../../static/chat/watchdog.js";
import { SEND_MS, WebSocketTransport } from "../../static/chat/websocket_transport.js";
import { Clock, Socket } from "./socket.js";
import { START } from "./upstream.js";

const SECOND = 1000;
let clock, transport, states, nudges, signedOut;

beforeEach(() => {
  Socket.all = [];
  clock = new Clock();
  states = [];
  nudges = [];
  signedOut = 0;
  transport = new WebSocketTransport({
    url: "ws://host/ws/chat/",
    createSocket: (url) => new Socket(url),
    timers: clock,
    random: () => 0,
    onState: ({ state }) => states.push(state),
    onNudge: (frame) => nudges.push(frame),
    onSignedOut: () => signedOut++,
  });
  transport.open();
});

const following = (api = {}) => new Follower(new Reply({ generation: "g", message: "m" }), { api, onChange: () => {} });
const delta = (seq, text) => ({ type: "message", generation: "g", seq, delta: text, isFinal: false });
const begun = { type: "start", seq: 1, ...START };

function opened() {
  Socket.last.opens();
  return Socket.last;
}

test("a send is accepted, and its events follow without a follow", async () => {
  const socket = opened();
  const follower = following();
  const sending = transport.send({ message: "hello", key: "k" }, () => (follower.adopt(transport), follower));
  const [{ ref, ...frame }] = socket.sentOf("send");
  assert.deepEqual(frame, { type: "send", message: "hello", key: "k" });
  socket.says({ type: "accepted", ref, ...START });
  socket.says(begun);
  socket.says(delta(2, "Hi"));
  assert.deepEqual((await sending).generation, "g");
  assert.equal(follower.reply.text, "Hi");
  assert.equal(socket.sentOf("follow").length, 0);
});

test("a broken connection comes back and follows from the cursor", () => {
  const first = opened();
  const follower = following();
  follower.follow(transport);
  first.says(begun);
  first.says(delta(2, "a"));
  first.breaks();
  clock.pass(SECOND);
  const second = opened();
  assert.notEqual(second, first);
  assert.deepEqual(second.sentOf("follow").map(({ generation, after }) => [generation, after]), [["g", 2]]);
  second.says(delta(2, "a"));
  second.says(delta(3, "b"));
  assert.equal(follower.reply.text, "ab");
});

test("each failure waits longer, up to a limit", () => {
  opened().breaks();
  const waits = [];
  for (let count = 0; count < 8; count++) {
    const before = Socket.all.length;
    let waited = 0;
    while (Socket.all.length === before) clock.pass(250), (waited += 250);
    waits.push(waited);
    Socket.last.breaks();
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 7500, 7500, 7500]);
});

test("a gap asks again from the cursor", () => {
  const socket = opened();
  const follower = following();
  follower.follow(transport);
  socket.says(begun);
  socket.says(delta(4, "d"));
  assert.deepEqual(socket.sentOf("follow").map(({ after }) => after), [0, 1]);
});

test("a silent connection is given up, one that answers pings is kept", () => {
  const socket = opened();
  for (let count = 0; count < 5; count++) {
    clock.pass(PING_MS);
    socket.says({ type: "pong" });
  }
  assert.equal(socket.sentOf("ping").length, 5);
  assert.equal(Socket.all.length, 1);
  clock.pass(SILENCE_MS + SECOND);
  assert.equal(Socket.all.length, 2);
});

test("waking up asks for a sign of life and does not wait long for it", () => {
  const socket = opened();
  transport.wake();
  assert.equal(socket.sentOf("ping").length, 1);
  clock.pass(6 * SECOND);
  assert.equal(Socket.all.length, 2);
});

test("waking up ends a wait", () => {
  opened().breaks();
  transport.wake();
  assert.equal(Socket.all.length, 2);
});

test("a send that the break swallowed goes out again under its key", async () => {
  const first = opened();
  const sending = transport.send({ message: "m", key: "same" }, () => null);
  first.breaks();
  clock.pass(SECOND);
  const second = opened();
  const [{ ref, key }] = second.sentOf("send");
  assert.equal(key, "same");
  second.says({ type: "accepted", ref, ...START });
  await sending;
});

test("a send without an answer fails in the end", async () => {
  const sending = transport.send({ message: "m" }, () => null);
  clock.pass(SEND_MS);
  await assert.rejects(sending, { code: "NETWORK" });
});

test("a refused send fails with the server's code and the socket stays", async () => {
  const socket = opened();
  const sending = transport.send({ message: "m" }, () => null);
  const [{ ref }] = socket.sentOf("send");
  socket.says({ type: "refused", ref, error: "slow down", code: "RATE_LIMITED", details: {} });
  await assert.rejects(sending, { code: "RATE_LIMITED" });
  assert.equal(Socket.all.length, 1);
});

test("4401 leads to sign-in, not to another attempt", () => {
  opened().breaks(4401);
  clock.pass(60 * SECOND);
  assert.deepEqual([signedOut, Socket.all.length, states.at(-1)], [1, 1, "refused"]);
});

test("the end of a replay that lacks its terminal event is settled from the record", async () => {
  const record = { status: "failed", seq: 5, text: "part", reasoning: "", usage: null, finish_reason: null, error: { code: "UPSTREAM_TIMEOUT" } };
  const socket = opened();
  const follower = following({ generation: async () => record });
  follower.follow(transport);
  socket.says({ type: "end", generation: "g", seq: 5 });
  await new Promise(setImmediate);
  assert.deepEqual([follower.reply.status, follower.reply.error.code], ["failed", "UPSTREAM_TIMEOUT"]);
});

test("an unknown generation ends as a failure", () => {
  const socket = opened();
  const follower = following();
  follower.follow(transport);
  const [{ ref }] = socket.sentOf("follow");
  socket.says({ type: "refused", ref, error: "gone", code: "NOT_FOUND", details: {} });
  assert.deepEqual([follower.reply.status, follower.reply.error.code], ["failed", "NOT_FOUND"]);
});

test("nudges are handed on", () => {
  opened().says({ type: "conversation", action: "updated", id: "c" });
  assert.deepEqual(nudges.map(({ action, id }) => [action, id]), [["updated", "c"]]);
});

test("a reader that moves to another transport is unfollowed and keeps its cursor", () => {
  const socket = opened();
  const follower = following();
  follower.follow(transport);
  socket.says(begun);
  const other = { name: "sse", subscribe: (generation, reader) => (other.got = [generation, reader.cursor]), unsubscribe() {} };
  follower.follow(other);
  assert.deepEqual(other.got, ["g", 1]);
  assert.equal(socket.sentOf("unfollow").length, 1);
  socket.says(delta(2, "late"));
  assert.equal(follower.reply.text, "");
  assert.equal(follower.reply.transport, "sse");
});
