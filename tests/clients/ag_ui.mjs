// AG-UI's own client against a server of ours: each scenario's outcome, as one JSON object.

import { EventType, HttpAgent } from '@ag-ui/client';
import { EventSchemas } from '@ag-ui/core/schemas';

const { url, owner, stranger, models } = JSON.parse(process.env.INPUTS);
const bearer = (token) => ({ Authorization: `Bearer ${token}` });

// What a native reader of the same generation gets meanwhile.
async function nativeText(generation) {
  const response = await fetch(`${url}/api/v1/generations/${generation}/events`, { headers: bearer(owner) });
  let text = '';
  for (const block of (await response.text()).split('\n\n')) {
    const data = block.split('\n').find((line) => line.startsWith('data: '));
    if (block.includes('event: message\n')) text += JSON.parse(data.slice(6)).delta;
  }
  return text;
}

function agent(threadId, token = owner, initialMessages = []) {
  return new HttpAgent({ url: `${url}/api/v1/ag-ui`, headers: bearer(token), threadId, initialMessages });
}

// One run, with each event checked against the client's schema on top of its own checks.
async function run(one, model, input = {}) {
  const seen = { types: [], invalid: [] };
  const followers = {
    onEvent: ({ event }) => {
      seen.types.push(event.type);
      if (!EventSchemas.safeParse(event).success) seen.invalid.push(event);
      if (event.type === EventType.RUN_STARTED) {
        seen.started = event;
        seen.native = nativeText(event.metadata.generation);
      }
      if (event.type === EventType.RUN_FINISHED) seen.finished = event;
      if (event.type === EventType.RUN_ERROR) seen.failed = event;
    },
  };
  try {
    const { newMessages } = await one.runAgent({ forwardedProps: { model }, ...input }, followers);
    seen.said = newMessages.map(({ id, role, content }) => ({ id, role, content }));
  } catch (error) {
    seen.error = { message: error.message, status: error.status, payload: error.payload };
  }
  return { ...seen, native: await seen.native };
}

const ask = (one, content) => one.addMessage({ id: crypto.randomUUID(), role: 'user', content });

const scenarios = {
  async whole() {
    const one = agent('whole');
    ask(one, 'hello');
    const first = await run(one, models.thinking);
    ask(one, 'and then?');
    const second = await run(one, models.quick);
    return { first, second };
  },

  async twice() {
    const runs = ['once', 'once'].map((name) => {
      const one = agent('twice');
      ask(one, 'hello');
      return run(one, models.slow, { runId: name });
    });
    const [first, second] = await Promise.all(runs);
    const later = agent('twice');
    ask(later, 'hello');
    return { first, second, third: await run(later, models.slow, { runId: 'once' }) };
  },

  async again() {
    const one = agent('again');
    ask(one, 'hello');
    const asked = structuredClone(one.messages);
    const first = await run(one, models.quick);
    const other = agent('again', owner, asked);
    const second = await run(other, models.quick);
    return { first, second };
  },

  async failed() {
    const one = agent('failed');
    ask(one, 'hello');
    return run(one, models.failing);
  },

  async refused() {
    const one = agent('refused', 'not.a.token');
    ask(one, 'hello');
    return run(one, models.quick);
  },

  async stopped() {
    const one = agent('stopped');
    ask(one, 'hello');
    const stop = {
      onTextMessageContentEvent: async () => {
        const { generation } = one.generation;
        await fetch(`${url}/api/v1/generations/${generation}/stop`, { method: 'POST', headers: bearer(owner) });
      },
      onRunStartedEvent: ({ event }) => { one.generation = event.metadata; },
    };
    one.subscribe(stop);
    return run(one, models.endless);
  },

  async theirs() {
    const one = agent('whole', stranger);
    ask(one, 'mine');
    const seen = await run(one, models.quick);
    return { conversation: seen.started.metadata.conversation, said: seen.said };
  },
};

const outcomes = await Promise.all(Object.entries(scenarios).map(async ([name, go]) => [name, await go()]));
console.log(JSON.stringify(Object.fromEntries(outcomes)));
