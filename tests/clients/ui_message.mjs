// The AI SDK's own chat against a server of ours: each scenario's outcome, as one JSON object.

import { AbstractChat, DefaultChatTransport, readUIMessageStream, safeValidateUIMessages } from 'ai';

const { url, owner, stranger, models } = JSON.parse(process.env.INPUTS);
const API = `${url}/api/v1/ui/chat`;

class State {
  status = 'ready';
  error = undefined;
  constructor(messages = []) { this.messages = messages; }
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => {
    this.messages = this.messages.map((one, at) => (at === index ? structuredClone(message) : one));
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor({ messages, ...init }) { super({ ...init, state: new State(messages) }); }
}

const textOf = (message, type = 'text') =>
  message.parts.filter((part) => part.type === type).map((part) => part.text).join('');

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

const get = async (path, token = owner) => (await fetch(url + path, { headers: bearer(token) })).json();

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

function transport(token = owner) {
  const made = new DefaultChatTransport({
    api: API,
    headers: bearer(token),
    fetch: async (...request) => {
      const response = await fetch(...request);
      const generation = response.headers.get('x-generation-id');
      Object.assign(made, { generation, conversation: response.headers.get('x-conversation-id') });
      made.marked = response.headers.get('x-vercel-ai-ui-message-stream');
      if (generation && token === owner) made.native = nativeText(generation);
      return response;
    },
  });
  return made;
}

function chat(id, made, messages) {
  const finished = [];
  const data = [];
  const onFinish = ({ finishReason }) => finished.push(finishReason);
  const one = new Chat({ id, messages, transport: made, onFinish, onData: (part) => data.push(part) });
  return Object.assign(one, { finished, data });
}

const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5)); };

const scenarios = {
  async whole() {
    const made = transport();
    const one = chat('whole/of it', made);
    await one.sendMessage({ text: 'hello' }, { body: { model: models.thinking } });
    const stored = await get(`/api/v1/ui/chat/${encodeURIComponent('whole/of it')}`);
    const valid = await safeValidateUIMessages({ messages: stored.messages });
    const { id, metadata, parts } = one.lastMessage;
    return {
      marked: made.marked, status: one.status, finished: one.finished, native: await made.native,
      id, metadata, text: textOf(one.lastMessage), thinking: textOf(one.lastMessage, 'reasoning'),
      states: parts.map((part) => part.state ?? part.type),
      valid: valid.success, stored: stored.messages, conversation: made.conversation,
    };
  },

  async left() {
    const made = transport();
    const one = chat('left', made);
    const said = () => (one.lastMessage?.role === 'assistant' ? textOf(one.lastMessage).length : 0);
    const sending = one.sendMessage({ text: 'hello' }, { body: { model: models.endless } });
    await until(() => said() > 40);
    await one.stop();
    await sending;
    const before = said();
    const native = made.native;
    const theirs = await transport(stranger).reconnectToStream({ chatId: 'left' });
    const again = await transport().reconnectToStream({ chatId: 'left' });
    const resuming = one.resumeStream();
    await until(() => said() > before);
    await fetch(`${API}/left/stop`, { method: 'POST', headers: bearer(owner) });
    await resuming;
    let second;
    for await (const message of readUIMessageStream({ stream: again })) second = message;
    const idle = await transport().reconnectToStream({ chatId: 'left' });
    return {
      text: textOf(one.lastMessage), second: textOf(second), native: await native,
      count: one.messages.length, theirs, idle, status: one.status,
    };
  },

  async again() {
    const made = transport();
    const one = chat('again', made);
    const options = { body: { model: models.quick } };
    await one.sendMessage({ text: 'first' }, options);
    const ids = [one.lastMessage.id];
    await one.regenerate(options);
    ids.push(one.lastMessage.id);
    await one.regenerate({ messageId: one.messages[0].id, ...options });
    ids.push(one.lastMessage.id);
    await one.sendMessage({ text: 'other words', messageId: one.messages[0].id }, options);
    await one.sendMessage({ text: 'second' }, options);
    const tree = await get(`/api/v1/conversations/${made.conversation}/messages`);
    const loaded = chat('again', made, (await get('/api/v1/ui/chat/again')).messages);
    await loaded.regenerate(options);
    const after = await get(`/api/v1/conversations/${made.conversation}/messages`);
    return { ids, tree: tree.items, after: after.items, loaded: loaded.messages.length, status: loaded.status };
  },

  async failed() {
    const one = chat('failed', transport());
    await one.sendMessage({ text: 'hello' }, { body: { model: models.failing } });
    const failed = { status: one.status, error: one.error.message, metadata: one.lastMessage.metadata };
    const text = textOf(one.lastMessage);
    await one.regenerate({ body: { model: models.quick } });
    return { ...failed, text, then: one.status, count: one.messages.length };
  },

  async refused() {
    const made = transport('not.a.token');
    const one = chat('refused', made);
    await one.sendMessage({ text: 'hello' });
    return { status: one.status, code: one.error.statusCode, body: JSON.parse(one.error.responseBody) };
  },

  async stopped() {
    const one = chat('stopped', transport());
    const sending = one.sendMessage({ text: 'hello' }, { body: { model: models.endless } });
    await until(() => one.lastMessage?.role === 'assistant' && textOf(one.lastMessage).length > 40);
    const stop = await fetch(`${API}/stopped/stop`, { method: 'POST', headers: bearer(owner) });
    await sending;
    const stored = (await get('/api/v1/ui/chat/stopped')).messages.at(-1);
    return {
      stop: stop.status, status: one.status, finished: one.finished, metadata: one.lastMessage.metadata,
      same: textOf(stored) === textOf(one.lastMessage), stored: stored.metadata.status,
    };
  },
};

const outcomes = await Promise.all(Object.entries(scenarios).map(async ([name, run]) => [name, await run()]));
console.log(JSON.stringify(Object.fromEntries(outcomes)));
