// Readers as they were printed for the two older formats, against a server of ours: what each of them got, as JSON.

const { url, owner, uid, sends } = JSON.parse(process.env.INPUTS);

const post = (path, body) => fetch(url + path, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${owner}` },
  body: JSON.stringify(body),
});

// /api/chat: blocks between blank lines, each beginning with `data: `.
async function readSeedChat(message, model, also) {
  const response = await post('/api/chat', { uid, message, model });
  const native = also(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const got = { text: '', indexes: [], uids: [], error: null, ended: false, native };
  let buffer = '';
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    buffer += decoder.decode(value, { stream: true });
    const blocks = buffer.split('\n\n');
    buffer = blocks.pop();
    for (const block of blocks) {
      if (!block.startsWith('data: ')) throw new Error(`unexpected: ${block}`);
      const data = JSON.parse(block.slice(6));
      if (got.ended) throw new Error('something came after the end');
      if (data.error) got.error = data;
      if (data.is_end) got.ended = true;
      else {
        got.text += data.message;
        got.indexes.push(data.index);
        got.uids.push(data.uid);
      }
    }
  }
  return got;
}

// /api/v1/ai/generate: lines of `event` and `data`, and a listener for each event.
async function readGenerate(prompt, model, also, fields = {}) {
  const response = await post('/api/v1/ai/generate', { prompt, model, ...fields });
  const native = also(response);
  const got = { text: '', finals: 0, error: null, pings: 0, other: [], type: response.headers.get('content-type'), native };
  const listeners = {
    message: ({ delta, isFinal }) => { got.text += delta; got.finals += isFinal ? 1 : 0; },
    error: (data) => { got.error = data; },
    ping: () => { got.pings += 1; },
  };
  const decoder = new TextDecoder();
  let buffer = '';
  let event = '';
  for await (const chunk of response.body) {
    buffer += decoder.decode(chunk, { stream: true });
    const lines = buffer.split('\n');
    buffer = lines.pop();
    for (const line of lines) {
      if (line.startsWith('event: ')) event = line.slice(7);
      else if (line.startsWith('data: ')) (listeners[event] ?? (() => got.other.push(event)))(JSON.parse(line.slice(6)));
      else if (line !== '') got.other.push(line);
    }
  }
  return got;
}

// What a native reader of the same generation gets meanwhile.
async function nativeText(response) {
  const generation = response.headers.get('x-generation-id');
  if (!response.headers.get('x-conversation-id')) throw new Error('no conversation');
  const path = `${url}/api/v1/generations/${generation}/events`;
  const events = await fetch(path, { headers: { Authorization: `Bearer ${owner}` } });
  let text = '';
  for (const block of (await events.text()).split('\n\n')) {
    const data = block.split('\n').find((line) => line.startsWith('data: '));
    if (block.includes('event: message\n')) text += JSON.parse(data.slice(6)).delta;
  }
  return text;
}

const outcomes = {};
for (const [name, { format, text, model, fields }] of Object.entries(sends)) {
  const read = format === 'seed' ? readSeedChat : readGenerate;
  const got = await read(text, model, nativeText, fields);
  outcomes[name] = { ...got, native: await got.native };
}
console.log(JSON.stringify(outcomes));
