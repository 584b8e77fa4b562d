"""OpenAI's Responses API, used by OpenAI's own clients on a running server; beside them, a native reader of each reply.

The server's log holds little, so that who comes back finds a snapshot in the place of the first events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.types.responses import Response

from chat.simulators.script import FAULT_TEXT, THOUGHTS
from tests.chat_server import ChatServer, server_events
from tests.dialects.simulated_server import SimulatedServer, simulated_server
from tests.node_client import run_script
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ["reasons", "echo", "tokens-3-0", "tokens-300-200", "tokens-3000-20", "fault-cut", "fault-429"]
LONG = "".join(f"t{number:06} " for number in range(1, 301))
SAID, THOUGHT = "".join(FAULT_TEXT), "".join(THOUGHTS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> AsyncIterator[SimulatedServer]:
    directory = tmp_path_factory.mktemp("responses")
    async with simulated_server(directory, prepared_database, MODELS, CHAT_LOG_BYTES="1500") as server:
        await server.start()
        yield server


async def client_of(server: ChatServer, user: str) -> AsyncOpenAI:
    key = (await server.headers(user))["Authorization"].removeprefix("Bearer ")
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: ChatServer) -> AsyncIterator[AsyncOpenAI]:
    async with await client_of(server, "owner") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def native(server: ChatServer) -> AsyncIterator[httpx.AsyncClient]:
    async with await server.client() as client:
        yield client


async def natively(native: httpx.AsyncClient, generation: str) -> str:
    """The text that a native reader gets of it."""
    text = ""
    async with native.stream("GET", f"/generations/{generation}/events") as response:
        async for event in server_events(response):
            data = json.loads(event.data)
            if event.event == "snapshot":
                text = data["text"]
            elif event.event == "message":
                text += data["delta"]
    return text


def native_id(response: str) -> str:
    return response.removeprefix("resp_")


def said(events: list[Any], kind: str = "output_text") -> str:
    return "".join(event.delta for event in events if event.type == f"response.{kind}.delta")


async def ended(client: AsyncOpenAI, id: str) -> Response:
    while True:
        response = await client.responses.retrieve(id)
        if response.status not in ("queued", "in_progress"):
            return response
        await asyncio.sleep(0.05)


async def test_a_finished_response(server: ChatServer, client: AsyncOpenAI, native: httpx.AsyncClient) -> None:
    asked = {"model": "reasons", "input": "hello", "temperature": 0.5, "metadata": {"order": "17"}}
    raw = await client.responses.with_raw_response.create(**asked, instructions="Be kind.", max_output_tokens=50)
    response = raw.parse()
    assert (response.status, response.output_text, response.model) == ("completed", SAID, "reasons")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text == THOUGHT
    assert (response.temperature, response.metadata, response.instructions) == (0.5, {"order": "17"}, "Be kind.")
    assert response.max_output_tokens == 50
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert response.completed_at is not None
    assert 0 <= response.completed_at - response.created_at < 60
    generation = (await native.get(f"/generations/{raw.headers['X-Generation-Id']}")).json()
    assert (generation["text"], generation["conversation"]) == (SAID, raw.headers["X-Conversation-Id"])
    assert await client.responses.retrieve(response.id) == response
    assert response.id.removeprefix("resp_") == generation["id"].replace("-", "")


async def test_a_stream_and_a_native_reader_get_the_same(client: AsyncOpenAI, native: httpx.AsyncClient) -> None:
    stream = await client.responses.create(model="tokens-300-200", input="hello", stream=True)
    events = [await anext(stream)]
    reader = asyncio.create_task(natively(native, native_id(events[0].response.id)))
    events += [event async for event in stream]
    assert said(events) == await reader == LONG
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1].type == "response.completed"
    assert await client.responses.retrieve(events[0].response.id) == events[-1].response


async def test_the_helper_for_streams_puts_it_together(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="reasons", input="hello") as stream:
        response = await stream.get_final_response()
    assert response.output_text == SAID
    async with client.responses.stream(response_id=response.id) as again:
        assert (await again.get_final_response()).output_text == SAID


async def test_a_background_response_is_left_in_mid_reply_and_resumed_from_where_it_was(
    client: AsyncOpenAI, native: httpx.AsyncClient
) -> None:
    stream = await client.responses.create(model="tokens-300-200", input="hello", background=True, stream=True)
    events = [await anext(stream)]
    response = events[0].response
    assert response.status == "queued"
    reader = asyncio.create_task(natively(native, native_id(response.id)))
    resumed = 0
    while events[-1].type != "response.completed":
        async for event in stream:
            events.append(event)
            if len(said(events)) > (resumed + 1) * 500:
                break
        await stream.close()
        resumed += 1
        cursor = events[-1].sequence_number
        stream = await client.responses.retrieve(response.id, stream=True, starting_after=cursor)
    assert [event async for event in stream] == []
    assert resumed > 3
    assert said(events) == await reader == LONG
    assert (await client.responses.retrieve(response.id)).output_text == LONG
    # Ended, and from places that no delta of the first stream has ended at.
    for chars in (0, 1, 700, 2399):
        cursor = 1_000_000_000 + chars
        rest = [
            event async for event in await client.responses.retrieve(response.id, stream=True, starting_after=cursor)
        ]
        assert said(rest) == LONG[chars:]


async def test_a_background_response_is_polled(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="tokens-300-200", input="hello", background=True)
    assert response.status in ("queued", "in_progress")
    assert response.background
    assert (await ended(client, response.id)).output_text == LONG


async def test_a_background_response_is_cancelled(client: AsyncOpenAI, native: httpx.AsyncClient) -> None:
    stream = await client.responses.create(model="tokens-3000-20", input="hello", background=True, stream=True)
    events = [await anext(stream)]
    id = events[0].response.id
    while not said(events):
        events.append(await anext(stream))
    cancelled = await client.responses.cancel(id)
    events += [event async for event in stream]
    assert cancelled.status == "cancelled"
    assert cancelled.output_text == said(events) == (await native.get(f"/generations/{native_id(id)}")).json()["text"]
    assert (events[-1].type, events[-1].response.status) == ("response.incomplete", "cancelled")
    assert await client.responses.cancel(id) == cancelled == events[-1].response


async def test_only_what_is_in_the_background_is_cancelled(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="tokens-3-0", input="hello")
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(response.id)


async def test_a_response_continues_another(
    server: SimulatedServer, client: AsyncOpenAI, native: httpx.AsyncClient
) -> None:
    first = await client.responses.create(model="tokens-3-0", input="one", instructions="Be brief.")
    second = await client.responses.create(
        model="echo", input=[{"role": "user", "content": "two"}], previous_response_id=first.id
    )
    assert second.previous_response_id == first.id
    assert server.asked() == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "two"},
    ], "instructions are not for the next response"
    other = await client.responses.create(model="echo", input="three", previous_response_id=first.id, store=False)
    assert [turn["content"] for turn in server.asked()][::2] == ["one", "three"]
    conversation, *_others = (await native.get("/conversations")).json()["items"]
    messages = (await native.get(f"/conversations/{conversation['id']}/messages")).json()["items"]
    assert [message["text"] for message in messages] == ["one", first.output_text, "two", "two"]
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model="echo", input="four", previous_response_id=other.id)
    assert (unknown.value.code, unknown.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_a_client_that_keeps_the_history_itself_stays_in_one_conversation(
    client: AsyncOpenAI, native: httpx.AsyncClient
) -> None:
    history: list[Any] = []
    for question in ("of old", "and then"):
        history.append({"role": "user", "content": [{"type": "input_text", "text": question}]})
        raw = await client.responses.with_raw_response.create(model="reasons", input=history)
        history += [item.to_dict() for item in raw.parse().output]
    conversation = raw.headers["X-Conversation-Id"]
    messages = (await native.get(f"/conversations/{conversation}/messages")).json()["items"]
    assert [message["text"] for message in messages] == ["of old", SAID, "and then", SAID]


async def test_a_deleted_response_is_gone_and_one_that_was_continued_stays(
    client: AsyncOpenAI, native: httpx.AsyncClient
) -> None:
    first = await client.responses.with_raw_response.create(model="tokens-3-0", input="one")
    id, conversation = first.parse().id, first.headers["X-Conversation-Id"]
    second = await client.responses.create(
        model="tokens-3000-20", input="two", previous_response_id=id, background=True
    )
    with pytest.raises(openai.ConflictError):
        await client.responses.delete(id)
    await client.responses.delete(second.id)
    assert (await native.get(f"/conversations/{conversation}")).json()["message_count"] == 2
    await client.responses.delete(id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(id)
    assert (await native.get(f"/conversations/{conversation}")).status_code == 404


@pytest.mark.parametrize(
    ("model", "text", "code"), [("fault-cut", SAID, "server_error"), ("fault-429", "", "rate_limit_exceeded")]
)
async def test_a_failure_is_told(client: AsyncOpenAI, model: str, text: str, code: str) -> None:
    events = [event async for event in await client.responses.create(model=model, input="hello", stream=True)]
    failed = events[-1].response
    assert (events[-1].type, failed.status) == ("response.failed", "failed")
    assert said(events) == failed.output_text == text
    assert failed.error.code == code
    assert failed.error.message
    whole = await client.responses.create(model=model, input="hello")
    assert (whole.status, whole.output_text, whole.error) == ("failed", text, failed.error)


async def test_the_same_key_starts_one_response(client: AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": "tokens-3-0", "input": "once", "extra_headers": {"Idempotency-Key": "once"}}
    first = await client.responses.create(**asked, metadata={"first": "yes"})
    again = [event async for event in await client.responses.create(**asked, stream=True)]
    assert again[-1].response == first
    assert said(again) == first.output_text


async def test_who_is_not_let_in(server: ChatServer, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong:
        await client.with_options(api_key="wrong").responses.create(model="echo", input="hello")
    assert wrong.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.create(model="gpt-none", input="hello")
    assert unknown.value.code == "model_not_found"


async def test_what_is_somebody_elses_does_not_exist(server: ChatServer, client: AsyncOpenAI) -> None:
    running = await client.responses.create(model="tokens-3000-20", input="a secret", background=True)
    nobodys = running.id[:-4] + "0000"
    async with await client_of(server, "stranger") as stranger:
        for attempt in (
            lambda id: stranger.responses.retrieve(id),
            lambda id: stranger.responses.retrieve(id, stream=True),
            lambda id: stranger.responses.cancel(id),
            lambda id: stranger.responses.delete(id),
            lambda id: stranger.responses.create(model="echo", input="go on", previous_response_id=id),
        ):
            told = []
            for id in (running.id, nobodys):
                with pytest.raises(openai.NotFoundError) as refused:
                    await attempt(id)
                told.append(refused.value.body)
            assert told[0] == told[1], "an existing one must look like none"
            assert set(told[0]) == {"message", "type", "param", "code"}
    assert (await client.responses.retrieve(running.id)).status in ("queued", "in_progress")
    assert (await client.responses.cancel(running.id)).status == "cancelled"


REFUSED = {
    "model": [{"model": None}, {"model": 3}],
    "input": [{"input": None}, {"input": 3}, {"input": []}, {"input": " "}],
    "input[0]": [{"input": [3]}, {"input": [{"type": "function_call_output", "call_id": "c", "output": "o"}]}],
    "input[0].role": [{"input": [{"role": "tool", "content": "x"}]}],
    "input[0].content": [{"input": [{"role": "user", "content": None}]}],
    "input[0].content[0]": [{"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}],
    "tools": [{"tools": [{"type": "web_search"}]}],
    "tool_choice": [{"tool_choice": {"type": "function", "name": "f"}}],
    "text.format": [{"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}],
    "text.verbosity": [{"text": {"verbosity": "low"}}],
    "reasoning.effort": [{"reasoning": {"effort": "high"}}],
    "max_tokens": [{"max_tokens": 5}],
    "conversation": [{"conversation": "conv_1"}],
    "prompt": [{"prompt": {"id": "p"}}],
    "temperature": [{"temperature": 3}, {"temperature": "hot"}],
    "max_output_tokens": [{"max_output_tokens": 0}],
    "metadata": [{"metadata": [1]}, {"metadata": {"a": 1}}, {"metadata": {str(n): "" for n in range(17)}}],
    "stream": [{"stream": "yes"}],
    "background": [{"background": True, "store": False}],
    "previous_response_id": [{"previous_response_id": 3}],
}


async def test_what_cannot_be_done_is_refused_by_its_name(server: ChatServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers=await server.headers()) as plain:
        for param, bodies in REFUSED.items():
            for body in bodies:
                answer = await plain.post("/v1/responses", json={"model": "echo", "input": "x", **body})
                assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), (body, answer.text)
        for query, param in (("stream=maybe", "stream"), ("stream=true&starting_after=-1", "starting_after")):
            answer = await plain.post("/v1/responses", json={"model": "tokens-3-0", "input": "x"})
            refused = await plain.get(f"/v1/responses/{answer.json()['id']}?{query}")
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        for id in ("resp_1", "1", "resp_" + "٣" * 32):
            assert (await plain.get(f"/v1/responses/{id}")).status_code == 404


async def test_the_package_for_javascript(server: ChatServer) -> None:
    key = (await server.headers())["Authorization"].removeprefix("Bearer ")
    told = await run_script("openai_responses.mjs", url=server.url, key=key)
    assert told["whole"] == told["streamed"] == {"text": SAID, "status": "completed", "native": SAID}
    assert told["resumed"] == {"text": LONG, "native": LONG, "rising": True, "connections": 3}
    assert told["continued"] == ["first", "second"]
    assert told["cancelled"] == {"status": "cancelled", "same": True}
    assert told["failed"] == {"type": "response.failed", "code": "server_error", "text": SAID}
    assert told["refused"] == [
        {"name": "AuthenticationError", "code": "invalid_api_key", "param": None},
        {"name": "NotFoundError", "code": "model_not_found", "param": "model"},
        {"name": "BadRequestError", "code": "unsupported_parameter", "param": "tools"},
    ]


async def test_a_response_is_resumed_after_a_restart(server: ChatServer) -> None:
    """The last test: it restarts the server of all."""
    async with await client_of(server, "owner") as client:
        stream = await client.responses.create(model="tokens-300-200", input="hello", background=True, stream=True)
        events = []
        async for event in stream:
            events.append(event)
            if len(said(events)) > 500:
                break
        await stream.close()
        id, cursor = events[0].response.id, events[-1].sequence_number
        finished = await ended(client, id)
    server.stop()
    await server.start()
    async with await client_of(server, "owner") as client:
        events += [event async for event in await client.responses.retrieve(id, stream=True, starting_after=cursor)]
        assert said(events) == LONG
        assert events[-1].response == await client.responses.retrieve(id) == finished
