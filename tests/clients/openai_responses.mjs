// OpenAI's own package for JavaScript and its Responses API, against a server of ours.

import OpenAI from 'openai';

const { url, key } = JSON.parse(process.env.INPUTS);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const { responses } = client;

// What a native reader of the same generation gets meanwhile.
async function nativeText(id) {
  const path = `/api/v1/generations/${id.slice('resp_'.length)}/events`;
  const answer = await fetch(url + path, { headers: { Authorization: `Bearer ${key}` } });
  let text = '';
  for (const block of (await answer.text()).split('\n\n')) {
    const data = block.split('\n').find((line) => line.startsWith('data: '));
    if (block.includes('event: message\n')) text += JSON.parse(data.slice(6)).delta;
    if (block.includes('event: snapshot\n')) text = JSON.parse(data.slice(6)).text;
  }
  return text;
}

const DELTA = 'response.output_text.delta';
const outcome = {};

const whole = await responses.create({ model: 'reasons', input: 'hello' });
outcome.whole = { text: whole.output_text, status: whole.status, native: await nativeText(whole.id) };

const helper = responses.stream({ model: 'reasons', input: 'hello' });
let native;
helper.on('response.created', ({ response }) => { native = nativeText(response.id); });
const streamed = await helper.finalResponse();
outcome.streamed = { text: streamed.output_text, status: streamed.status, native: await native };

{
  let stream = await responses.create({ model: 'tokens-300-200', input: 'hello', background: true, stream: true });
  let [text, last, id, rising, connections] = ['', -1, null, true, 1];
  for (const most of [500, 1000, Infinity]) {
    for await (const event of stream) {
      if (event.type === 'response.created') {
        id = event.response.id;
        native = nativeText(id);
      }
      rising &&= event.sequence_number > last;
      last = event.sequence_number;
      if (event.type === DELTA) text += event.delta;
      if (text.length > most) break; // which ends the connection
    }
    if (most < Infinity) {
      stream = await responses.retrieve(id, { stream: true, starting_after: last });
      connections += 1;
    }
  }
  outcome.resumed = { text, native: await native, rising, connections };
}

{
  const first = await responses.create({ model: 'echo', input: 'first' });
  const second = await responses.create({ model: 'echo', input: 'second', previous_response_id: first.id });
  outcome.continued = [first.output_text, second.output_text];
}

{
  const { id } = await responses.create({ model: 'tokens-3000-20', input: 'hello', background: true });
  const cancelled = await responses.cancel(id);
  const again = await responses.cancel(id);
  outcome.cancelled = {
    status: cancelled.status,
    same: again.status === cancelled.status && again.output_text === cancelled.output_text,
  };
}

{
  let last;
  for await (last of await responses.create({ model: 'fault-cut', input: 'hello', stream: true }));
  const text = last.response.output.map((item) => item.content.map((part) => part.text).join('')).join('');
  outcome.failed = { type: last.type, code: last.response.error.code, text };
}

outcome.refused = [];
for (const [who, asked] of [
  [new OpenAI({ baseURL: `${url}/v1`, apiKey: 'wrong', maxRetries: 0 }), { model: 'echo' }],
  [client, { model: 'gpt-none' }],
  [client, { model: 'echo', tools: [{ type: 'web_search' }] }],
]) {
  await who.responses.create({ input: 'hello', ...asked }).then(
    () => outcome.refused.push(null),
    ({ constructor, code, param }) => outcome.refused.push({ name: constructor.name, code, param }),
  );
}

console.log(JSON.stringify(outcome));
