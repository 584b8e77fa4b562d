"""Chat Completions as the official clients speak it, beside native readers of the same replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from chat.simulators.script import FAULT_TEXT, THOUGHTS
from tests.chat_server import server_events
from tests.dialects.simulated_server import SimulatedServer, simulated_server
from tests.node_client import run_script
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("tokens-40-100", "tokens-3-0", "tokens-3000-20", "reasons", "echo", "fault-cut", "fault-400", "fault-401")

PROVIDERS = """
[providers.first]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY"
models = {models}
retries = 0

[providers.second]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY"
models = ["echo", "tokens-5-0"]
retries = 0
fallback = ["first"]

[providers.broken]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY"
models = ["fault-500"]
retries = 0
fallback = ["first"]
"""

FORTY = "".join(f"t{n:06d} " for n in range(1, 41))
BROKEN = "".join(FAULT_TEXT)

Message = dict[str, Any]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


class Site:
    """The server and people's clients."""

    def __init__(self, server: SimulatedServer) -> None:
        self.server = server
        self._clients: list[AsyncOpenAI] = []

    async def token(self, who: str) -> str:
        return (await self.server.headers(who))["Authorization"].removeprefix("Bearer ")

    async def client(self, who: str = "owner") -> AsyncOpenAI:
        client = AsyncOpenAI(base_url=f"{self.server.url}/v1", api_key=await self.token(who), max_retries=0)
        self._clients.append(client)
        return client

    async def native(self, method: str, path: str, who: str = "owner", **options: Any) -> Any:
        async with await self.server.client(who) as client:
            answer = await client.request(method, path, **options)
            assert answer.status_code < 300, answer.text
            return answer.json()

    async def conversations(self, who: str = "owner") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.native("GET", "/conversations?limit=200", who))["items"]
        return items

    async def messages(self, conversation: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.native("GET", f"/conversations/{conversation}/messages"))["items"]
        return items

    async def follow(self, generation: str) -> dict[str, Any]:
        """The last event, as a native reader gets it; its `told` is the text of all deltas."""
        told, last = "", {}
        async with (
            await self.server.client() as client,
            client.stream("GET", f"/generations/{generation}/events") as answer,
        ):
            async for event in server_events(answer):
                last = json.loads(event.data)
                told += last.get("delta", "") if event.event == "message" else ""
        return {**last, "told": told}

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("openai")
    limits = {"CHAT_UNSTORED_SECONDS": "1", "CHAT_HISTORY_MESSAGES": "20"}
    async with simulated_server(directory, prepared_database, MODELS, PROVIDERS, **limits) as server:
        await server.start()
        site = Site(server)
        yield site
        await site.close()


async def say(client: AsyncOpenAI, *messages: Message, **options: Any) -> tuple[str, str]:
    """The answer, and its conversation."""
    asked: dict[str, Any] = {"model": "echo", "messages": list(messages), **options}
    raw = await client.chat.completions.with_raw_response.create(**asked)
    completion = raw.parse()
    return completion.choices[0].message.content or "", raw.headers["X-Conversation-Id"]


async def collect(stream: AsyncStream[ChatCompletionChunk], told: list[str]) -> None:
    async for chunk in stream:
        told += [choice.delta.content or "" for choice in chunk.choices]


# Streams


async def test_a_stream_is_what_a_native_reader_of_the_same_reply_gets(site: Site) -> None:
    client = await site.client()
    raw = await client.chat.completions.with_raw_response.create(
        model="tokens-40-100", messages=[user("count")], stream=True, stream_options={"include_usage": True}
    )
    native = asyncio.create_task(site.follow(raw.headers["X-Generation-Id"]))
    chunks = [chunk async for chunk in raw.parse()]
    *parts, closing, counted = chunks
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        (f"chatcmpl-{raw.headers['X-Generation-Id']}", "tokens-40-100", "chat.completion.chunk")
    }
    assert len({chunk.created for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in parts] == ["assistant", *[None] * (len(parts) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in parts] == [None] * len(parts)
    assert closing.choices[0].finish_reason == "stop"
    assert not closing.choices[0].delta.content
    assert (counted.choices, {chunk.usage for chunk in chunks[:-1]}) == ([], {None})
    final = await native
    assert "".join(chunk.choices[0].delta.content or "" for chunk in parts) == final["told"] == FORTY
    assert counted.usage is not None
    usage = final["usage"]
    assert (counted.usage.prompt_tokens, counted.usage.completion_tokens) == (
        usage["input_tokens"],
        usage["output_tokens"],
    )
    assert counted.usage.total_tokens == usage["input_tokens"] + usage["output_tokens"]


async def test_the_bytes_of_a_stream(site: Site) -> None:
    """Without `include_usage`, no chunk speaks of usage; thoughts are apart; `[DONE]` is the last."""
    body = {"model": "reasons", "messages": [user("why?")], "stream": True}
    async with (
        httpx.AsyncClient(headers=await site.server.headers()) as client,
        client.stream("POST", f"{site.server.url}/v1/chat/completions", json=body) as answer,
    ):
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        blocks = (await answer.aread()).decode().split("\n\n")
    assert all(block.startswith("data: ") for block in blocks[:-1])
    assert blocks[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]
    assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert deltas[-1] == {}
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "".join(THOUGHTS)
    assert "".join(delta.get("content", "") for delta in deltas) == BROKEN


async def test_a_failure_in_mid_stream_is_an_error_and_no_done(site: Site) -> None:
    client = await site.client()
    stream = await client.chat.completions.create(model="fault-cut", messages=[user("break")], stream=True)
    told: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        await collect(stream, told)
    assert "".join(told) == BROKEN
    assert caught.value.code == "upstream_unavailable"
    assert caught.value.type == "server_error"


async def test_a_client_that_leaves_does_not_end_the_reply_and_stop_does(site: Site) -> None:
    client = await site.client()
    left = await client.chat.completions.with_raw_response.create(
        model="tokens-40-100", messages=[user("I leave")], stream=True
    )
    stream = left.parse()
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    generation = left.headers["X-Generation-Id"]
    assert (await site.follow(generation))["text"] == FORTY
    assert (await site.native("GET", f"/generations/{generation}"))["text"] == FORTY
    stopped = await client.chat.completions.with_raw_response.create(
        model="tokens-3000-20", messages=[user("stop me")], stream=True
    )
    reasons = []
    async for chunk in stopped.parse():
        reasons += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
        if chunk.choices[0].delta.role:
            await site.native("POST", f"/generations/{stopped.headers['X-Generation-Id']}/stop")
    assert reasons == ["stop"]


# Whole replies


async def test_a_whole_reply_tells_the_same_as_its_generation(site: Site) -> None:
    client = await site.client()
    raw = await client.chat.completions.with_raw_response.create(model="reasons", messages=[user("why, all in all?")])
    completion = raw.parse()
    kept = await site.native("GET", f"/generations/{raw.headers['X-Generation-Id']}")
    message = completion.choices[0].message
    assert (message.role, message.content) == ("assistant", kept["text"])
    assert message.model_extra == {"reasoning_content": kept["reasoning"]}
    assert completion.usage is not None
    assert completion.usage.completion_tokens == kept["usage"]["output_tokens"]
    cut = await client.chat.completions.create(
        model="tokens-40-100", messages=[user("count to five")], max_completion_tokens=5
    )
    assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", FORTY[:40])


async def test_a_reply_of_a_fallback_names_the_model_that_answers(site: Site) -> None:
    client = await site.client()
    whole = await client.chat.completions.create(model="fault-500", messages=[user("anybody?")])
    stream = await client.chat.completions.create(model="fault-500", messages=[user("anybody there?")], stream=True)
    assert whole.model == "tokens-40-100"
    assert {chunk.model async for chunk in stream} == {"tokens-40-100"}


async def test_failures_are_statuses_for_who_waits_for_the_whole(site: Site) -> None:
    client = await site.client()
    with pytest.raises(openai.InternalServerError) as broken:
        await client.chat.completions.create(model="fault-cut", messages=[user("break, whole")])
    assert (broken.value.status_code, broken.value.code) == (502, "upstream_unavailable")
    assert "X-Should-Retry" not in broken.value.response.headers
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.chat.completions.create(model="fault-400", messages=[user("too long")])
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model="fault-401", messages=[user("no key")])
    assert refused.value.response.headers["X-Should-Retry"] == "false", "the client would only ask in vain"


async def test_a_key_starts_one_reply_and_another_text_conflicts(site: Site) -> None:
    client = await site.client()
    key = {"Idempotency-Key": "key-of-a-completion"}
    first, conversation = await say(client, user("once"), extra_headers=key)
    assert await say(client, user("once"), extra_headers=key) == (first, conversation)
    assert len(await site.messages(conversation)) == 2
    again = {"Idempotency-Key": "key-of-another-answer"}
    assert await say(client, user("once"), extra_headers=again) == (first, conversation)
    assert await say(client, user("once"), extra_headers=again) == (first, conversation)
    assert len(await site.messages(conversation)) == 3
    streamed = await client.chat.completions.create(
        model="echo", messages=[user("once")], extra_headers=key, stream=True
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in streamed]) == first
    with pytest.raises(openai.ConflictError) as caught:
        await say(client, user("twice"), extra_headers=key)
    assert caught.value.response.headers["X-Should-Retry"] == "false"


# Histories


async def test_three_turns_of_a_chat_are_one_conversation_and_the_upstream_sees_them_all(site: Site) -> None:
    client = await site.client()
    history = [{"role": "system", "content": "Be brief."}, user("three turns: one")]
    conversations = set()
    for question in ("three turns: two", "three turns: three", None):
        answer, conversation = await say(client, *history)
        assert [(message["role"], message["content"]) for message in site.server.asked()] == [
            (message["role"], message["content"]) for message in history
        ]
        conversations.add(conversation)
        history += [assistant(answer), user(question or "")]
    [conversation] = conversations
    [listed] = [one for one in await site.conversations() if one["title"] == "three turns: one"]
    assert (listed["id"], listed["message_count"], listed["system"]) == (conversation, 6, "Be brief.")
    assert [message["text"] for message in await site.messages(conversation)] == [
        message["content"] for message in history[1:-1]
    ]


async def test_what_was_said_otherwise_becomes_another_branch_or_another_conversation(site: Site) -> None:
    client = await site.client()
    answer, conversation = await say(client, user("a tree"))
    told = [user("a tree"), assistant(answer)]
    second, same = await say(client, *told, user("left"))
    assert same == conversation
    assert (await say(client, *told, user("left")))[1] == conversation, "one more answer to the same"
    assert (await say(client, *told, user("right")))[1] == conversation
    by_text: dict[str, list[dict[str, Any]]] = {}
    for message in await site.messages(conversation):
        by_text.setdefault(message["text"], []).append(message)
    left, *answers = by_text["left"]
    assert [message["parent"] for message in answers] == [left["id"]] * 2
    assert answers[0]["siblings"] == [message["id"] for message in answers]
    assert by_text["right"][0]["siblings"] == [left["id"], by_text["right"][0]["id"]]
    changed = [user("a tree"), assistant("something else"), user("left"), assistant(second), user("on")]
    _text, other = await say(client, *changed)
    assert other != conversation
    assert site.server.asked() == changed
    kept = await site.messages(other)
    assert [(message["role"], message["text"]) for message in kept[:-1]] == [
        (message["role"], message["content"]) for message in changed
    ]
    assert [message["parent"] for message in kept] == [None, *[message["id"] for message in kept[:-1]]]
    assert (await say(client, *changed, assistant(kept[-1]["text"]), user("and on")))[1] == other


async def test_a_stranger_with_the_owners_history_gets_a_conversation_of_their_own(site: Site) -> None:
    client, stranger = await site.client(), await site.client("stranger")
    answer, conversation = await say(client, user("mine alone"))
    for history in ([user("mine alone")], [user("mine alone"), assistant(answer), user("and more")]):
        _text, theirs = await say(stranger, *history)
        assert theirs != conversation
    assert len(await site.messages(conversation)) == 2
    assert {conversation} & {one["id"] for one in await site.conversations("stranger")} == set()


async def test_what_is_not_stored_is_in_no_list_and_goes_after_its_reply(site: Site) -> None:
    client = await site.client()
    told = [user("off the record"), assistant("Yes?"), user("forget this")]
    async with await site.server.socket() as socket:
        _text, conversation = await say(client, *told, store=False)
        assert site.server.asked() == told
        _text, again = await say(client, *told, store=False)
        assert again != conversation, "nobody goes on in it"
        _text, stored = await say(client, user("on the record"))
        nudged = [json.loads(await socket.recv())["id"]]
        while nudged[-1] != stored:
            nudged.append(json.loads(await socket.recv())["id"])
        assert not {conversation, again} & set(nudged)
    assert not {conversation, again} & {one["id"] for one in await site.conversations()}
    async with await site.server.client() as native:
        for _ in range(100):
            if (await native.get(f"/conversations/{conversation}")).status_code == 404:
                break
            await asyncio.sleep(0.1)
        assert (await native.get(f"/conversations/{conversation}/messages")).status_code == 404
        assert (await native.get(f"/conversations/{stored}")).status_code == 200


# Refusals and models


async def test_the_models_by_one_name_each(site: Site) -> None:
    client = await site.client()
    names = {model.id: model.owned_by async for model in client.models.list()}
    assert names == {
        **dict.fromkeys(MODELS, "first"),
        "second/echo": "second",
        "tokens-5-0": "second",
        "fault-500": "broken",
    }
    for name, provider in (("second/echo", "second"), ("first/echo", "first"), ("tokens-5-0", "second")):
        assert (await client.models.retrieve(name)).owned_by == provider
        completion = await client.chat.completions.with_raw_response.create(model=name, messages=[user(f"to {name}")])
        generation = await site.native("GET", f"/generations/{completion.headers['X-Generation-Id']}")
        assert generation["provider"] == provider
    for unknown in ("nobody", "second/tokens-3-0", "nobody/echo"):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve(unknown)
        assert caught.value.code == "model_not_found"


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


@pytest.mark.parametrize(
    ("changed", "param", "code"),
    [
        ({"temperature": 2.1}, "temperature", None),
        ({"top_p": 10**400}, "top_p", None),
        ({"max_completion_tokens": 0}, "max_completion_tokens", None),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"stop": ["END"]}, "stop", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"invented": 1}, "invented", "unknown_parameter"),
        ({"messages": []}, "messages", None),
        ({"messages": [assistant("I begin")]}, "messages", None),
        ({"messages": [user("x")] * 21}, "messages", "array_above_max_length"),
        ({"messages": [user("\x00")]}, "messages[0].content", None),
        ({"messages": [user("x" * 100_001)]}, "messages[0].content", "string_above_max_length"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]", "unsupported_value"),
        ({"messages": [{"role": "tool", "content": "1"}]}, "messages[0].role", "unsupported_value"),
        ({"messages": [{"role": "wizard", "content": "1"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [7]}, "messages[0]", None),
        ({"model": None}, "model", None),
    ],
)
async def test_what_cannot_be_had_is_refused_by_its_name(
    site: Site, changed: dict[str, Any], param: str, code: str | None
) -> None:
    body = json.dumps({"model": "echo", "messages": [user("no")], **changed})
    headers = {**await site.server.headers(), "Content-Type": "application/json"}
    async with httpx.AsyncClient(headers=headers) as client:
        answer = await client.post(f"{site.server.url}/v1/chat/completions", content=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


async def test_what_changes_nothing_is_taken(site: Site) -> None:
    client = await site.client()
    parts = [{"type": "text", "text": "in"}, {"type": "text", "text": "parts"}]
    answer, _conversation = await say(
        client,
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": parts, "name": "me"},
        n=1,
        seed=7,
        user="u-1",
        metadata={"a": "b"},
        presence_penalty=0,
        temperature=0.5,
        tool_choice="none",
        response_format={"type": "text"},
        logprobs=False,
        top_p=1,
    )
    assert answer == "in\nparts"
    assert site.server.asked()[0] == {"role": "system", "content": "Be kind."}
    assert site.server.upstream.connections[-1].request["temperature"] == 0.5


async def test_who_may_not_in_is_told_so_in_this_format(site: Site) -> None:
    async with AsyncOpenAI(base_url=f"{site.server.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="echo", messages=[user("let me in")])
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.models.retrieve("echo")
    client = await site.client()
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="nobody", messages=[user("who?")])
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/chat/completions", 405)):
        async with httpx.AsyncClient(headers=await site.server.headers()) as plain:
            answer = await plain.request(method, f"{site.server.url}/v1{path}")
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})


async def test_the_client_for_javascript(site: Site) -> None:
    told = await run_script(
        "openai_chat.mjs",
        url=f"{site.server.url}/v1",
        token=await site.token("owner"),
        model="tokens-40-100",
        failing="fault-cut",
    )
    native = await site.native("GET", f"/generations/{told['generation']}")
    assert told["streamed"]["text"] == told["whole"]["text"] == native["text"] == FORTY
    assert (told["streamed"]["roles"], told["streamed"]["reasons"]) == (["assistant"], ["stop"])
    assert told["streamed"]["usage"] == told["whole"]["usage"]
    assert told["whole"]["usage"]["completion_tokens"] == native["usage"]["output_tokens"]
    assert "second/echo" in told["models"]
    assert told["wrong_key"] == ["AuthenticationError", 401, "invalid_api_key"]
    assert told["unknown_model"] == ["NotFoundError", 404, "model_not_found"]
    assert told["broken"] == ["APIError", None, "upstream_unavailable"]
