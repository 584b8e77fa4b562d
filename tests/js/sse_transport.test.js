import assert from "node:assert/strict";
import { test } from "node:test";
import { Follower } from "../../static/chat/follower.js";
import { Reply } from "../../static/chat/reply.js";
import { SseTransport } from "../../static/chat/sse_transport.js";
import { START, delta, event, final, json, serve, start, stream, until } from "./upstream.js";

const following = (api) => new Follower(new Reply({ generation: "g", message: "m" }), { api, onChange: () => {} });
const transportOf = (api, states = []) =>
  new SseTransport({ api, random: () => 0, onState: ({ state }) => states.push(state) });

test("a send's answer is its stream", async (t) => {
  const { api, requests } = await serve(t, (_, response) => {
    stream(response, start, delta(2, "Hi"), final(3, "Hi"));
    response.end();
  });
  const transport = transportOf(api);
  const follower = following(api);
  const begun = await transport.send({ message: "hello", key: "k" }, () => (follower.adopt(transport), follower));
  assert.deepEqual(begun, START);
  await until(() => follower.reply.ended);
  assert.equal(follower.reply.text, "Hi");
  const [{ headers, body, url }] = requests;
  assert.deepEqual([url, headers["x-csrftoken"], headers.accept], ["/api/v1/chat", "token", "text/event-stream"]);
  assert.deepEqual(JSON.parse(body), { message: "hello", key: "k" });
});

test("a stream that breaks goes on from the cursor, and nothing comes twice", async (t) => {
  const { api, requests } = await serve(t, (request, response) => {
    if (request.method === "POST") {
      stream(response, start, delta(2, "one "));
      setTimeout(() => response.destroy(), 20);
    } else {
      stream(response, delta(2, "one "), delta(3, "two"), final(4, "one two"));
      response.end();
    }
  });
  const transport = transportOf(api);
  const follower = following(api);
  await transport.send({ message: "m" }, () => (follower.adopt(transport), follower));
  await until(() => follower.reply.ended);
  assert.equal(follower.reply.text, "one two");
  assert.equal(requests[1].headers["last-event-id"], "2");
});

test("a gap is asked for again from the cursor", async (t) => {
  let asked = 0;
  const { api, requests } = await serve(t, (_, response) => {
    stream(response, ...(asked++ ? [delta(2, "b"), delta(3, "c"), final(4, "bc")] : [start, delta(3, "c")]));
    response.end();
  });
  const follower = following(api);
  follower.follow(transportOf(api));
  await until(() => follower.reply.ended);
  assert.equal(follower.reply.text, "bc");
  assert.equal(requests[1].headers["last-event-id"], "1");
});

test("204 settles the reply from its record", async (t) => {
  const record = { status: "cancelled", seq: 7, text: "kept", reasoning: "", usage: null, finish_reason: "cancelled", error: null };
  const { api } = await serve(t, (request, response) => {
    if (request.url.endsWith("/events")) response.writeHead(204).end();
    else json(response, 200, record);
  });
  const follower = following(api);
  follower.follow(transportOf(api));
  await until(() => follower.reply.ended);
  assert.deepEqual([follower.reply.status, follower.reply.text], ["cancelled", "kept"]);
});

test("what does not exist ends as a failure, not as a wait", async (t) => {
  const { api } = await serve(t, (_, response) => json(response, 404, { error: "gone", code: "NOT_FOUND", details: {} }));
  const follower = following(api);
  follower.follow(transportOf(api));
  await until(() => follower.reply.ended);
  assert.equal(follower.reply.error.code, "NOT_FOUND");
});

test("a server in trouble is asked again, not before it wants to be", async (t) => {
  let asked = 0;
  const { api } = await serve(t, (_, response) => {
    if (asked++) stream(response, start, final(2, "")), response.end();
    else json(response, 503, { error: "draining", code: "UNAVAILABLE", details: {} }, { "Retry-After": "1" });
  });
  const states = [];
  const follower = following(api);
  const begun = Date.now();
  follower.follow(transportOf(api, states));
  await until(() => follower.reply.ended);
  assert.ok(Date.now() - begun >= 950);
  assert.ok(states.includes("reconnecting"));
});

test("a refused send fails with the server's code, once", async (t) => {
  const { api, requests } = await serve(t, (_, response) => json(response, 429, { error: "slow down", code: "RATE_LIMITED", details: {} }));
  await assert.rejects(transportOf(api).send({ message: "m" }, () => null), { code: "RATE_LIMITED", status: 429 });
  assert.equal(requests.length, 1);
});

test("a send whose answer is lost is sent again under the same key", async (t) => {
  let asked = 0;
  const { api, requests } = await serve(t, (_, response) => {
    if (!asked++) response.destroy();
    else stream(response, start, final(2, "ok")), response.end();
  });
  const transport = transportOf(api);
  const follower = following(api);
  await transport.send({ message: "m", key: "same" }, () => (follower.adopt(transport), follower));
  await until(() => follower.reply.ended);
  assert.deepEqual(requests.map(({ body }) => JSON.parse(body).key), ["same", "same"]);
});

test("a known key that is answered from the record names the generation by the headers", async (t) => {
  const { api } = await serve(t, (_, response) => {
    stream(response, event(8, "snapshot", { text: "all", reasoning: "", status: "completed" }), final(9, "all"));
    response.end();
  });
  const begun = await transportOf(api).send({ message: "m" }, () => null);
  assert.deepEqual(begun, { generation: "g", conversation: "c" });
});

test("a reader that has moved away gets nothing more", async (t) => {
  let written;
  const { api } = await serve(t, (_, response) => {
    stream(response, start);
    written = response;
  });
  const transport = transportOf(api);
  const follower = following(api);
  follower.follow(transport);
  await until(() => follower.reply.seq === 1);
  follower.close();
  await until(() => written.destroyed || written.closed, "the end of the connection");
  assert.equal(follower.reply.text, "");
});
