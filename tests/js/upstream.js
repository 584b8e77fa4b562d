/* A real server on a free port that answers as each test says, and the pieces of the API's event streams. */

import { createServer } from "node:http";
import { once } from "node:events";
import { Api } from "../../static/chat/api.js";

export const event = (seq, name, data) => `id: ${seq}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
export const START = { generation: "g", conversation: "c", user_message: "u", message: "m", provider: "p", model: "x", upstream: "sse" };
export const start = event(1, "start", START);
export const delta = (seq, text) => event(seq, "message", { delta: text, isFinal: false });
export const final = (seq, text) => event(seq, "message", { delta: "", isFinal: true, finish_reason: "stop", usage: null, text });

/** `answer(request, response, body)`. Closed when the test is over. */
export async function serve(test, answer) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    requests.push({ method: request.method, url: request.url, headers: request.headers, body });
    answer(request, response, body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const base = `http://127.0.0.1:${server.address().port}/api/v1`;
  return { requests, base, api: new Api({ base, cookies: () => "a=b; csrftoken=token" }) };
}

export const stream = (response, ...events) => {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "X-Generation-Id": "g", "X-Conversation-Id": "c" });
  response.write(events.join(""));
};

export const json = (response, status, value, headers = {}) => {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(value));
};

/** Resolves once `condition` holds. */
export async function until(condition, words = "the condition") {
  for (let count = 0; count < 500; count++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${words} never came`);
}
