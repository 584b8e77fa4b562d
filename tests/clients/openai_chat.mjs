// OpenAI's own client for JavaScript, as an application uses it: prints what it made of each answer.
import OpenAI from "openai";

const { url, token, model, failing } = JSON.parse(process.env.INPUTS);
const client = new OpenAI({ baseURL: url, apiKey: token, maxRetries: 0 });
const messages = [{ role: "user", content: "from JavaScript" }];

const refused = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return [error.constructor.name, error.status ?? null, error.code ?? null];
  }
  throw new Error("it was not refused");
};

const collect = async (stream) => {
  const reply = { roles: [], text: "", reasons: [], usage: null };
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    if (choice?.delta.role) reply.roles.push(choice.delta.role);
    reply.text += choice?.delta.content ?? "";
    if (choice?.finish_reason) reply.reasons.push(choice.finish_reason);
    reply.usage = chunk.usage ?? reply.usage;
  }
  return reply;
};

const asked = { model, messages, stream: true, stream_options: { include_usage: true } };
const { data, response } = await client.chat.completions.create(asked).withResponse();
const streamed = await collect(data);
const whole = await client.chat.completions.create({ model, messages });
const models = [];
for await (const one of client.models.list()) models.push(one.id);

console.log(
  JSON.stringify({
    generation: response.headers.get("x-generation-id"),
    streamed,
    whole: { text: whole.choices[0].message.content, reason: whole.choices[0].finish_reason, usage: whole.usage },
    models,
    wrong_key: await refused(new OpenAI({ baseURL: url, apiKey: "wrong", maxRetries: 0 }).models.list()),
    unknown_model: await refused(client.chat.completions.create({ model: "nobody", messages })),
    broken: await refused(client.chat.completions.create({ ...asked, model: failing }).then(collect)),
  }),
);
