"""The adapter for OpenAI's stream over real sockets: what it reads, what it sends, and how a stream may not end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode
from chat.events import Finish, FinishReason, Text
from chat.providers.base import ChatRequest, Params, Profile, Turn
from chat.providers.openai_chat import OpenAIChat
from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, openai_for, question, read, until
from tests.providers.openai_upstream import DONE, STOPPED, answer, block, delta, fail, play
from tests.providers.raw_upstream import End, RawUpstream, chunked
from tests.providers.streaming import asked


async def test_deltas_come_as_they_are_sent(client: AsyncBaseTransport) -> None:
    async with RawUpstream(answer(block(delta("first"))), end="hold") as upstream:
        async with aclosing(asked(openai_for(upstream.url, client), question("demo"))) as events:
            assert await anext(events) == Text("first")
            assert not upstream.left.is_set()
        await until(upstream.left.is_set)


# What is sent


@pytest.fixture
async def simulator() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(API_KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


async def test_the_request_carries_what_was_asked_and_nothing_else(
    client: AsyncBaseTransport, simulator: OpenAIChatSimulator
) -> None:
    turns = (Turn("system", "Be brief."), Turn("user", "你好"), Turn("assistant", "Hi"), Turn("user", 'Go "on"'))
    params = Params(temperature=0.0, top_p=0.5, max_tokens=3)
    reply = await read(openai_for(simulator.url, client), ChatRequest("tokens-9-0", turns, params, user="u1"))
    assert simulator.connections[-1].request == {
        "model": "tokens-9-0",
        "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "top_p": 0.5,
        "max_tokens": 3,
        "user": "u1",
    }
    assert reply.text == "t000001 t000002 t000003 "
    assert reply.finishes == [Finish(FinishReason.LENGTH)]


async def test_parameters_that_nobody_set_are_not_sent(
    client: AsyncBaseTransport, simulator: OpenAIChatSimulator
) -> None:
    await read(openai_for(simulator.url, client), ChatRequest("tokens-1-0", (Turn("user", "x"),)))
    sent = simulator.connections[-1].request
    assert sent.keys() == {"model", "messages", "stream", "stream_options"}


@pytest.mark.parametrize(("key", "header"), [("k-1", b"Bearer k-1"), (None, None), ("ключ", "Bearer ключ".encode())])
async def test_the_key_goes_into_its_header_alone(
    client: AsyncBaseTransport, key: str | None, header: bytes | None
) -> None:
    async with RawUpstream(answer(block(delta("x")), DONE)) as upstream:
        provider = OpenAIChat(
            Profile("raw", "Raw", MODELS, TIMEOUTS, 0), base_url=upstream.url + "/", api_key=key, http=client
        )
        await read(provider, question("demo"))
    head, _blank, body = upstream.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
    sent = [line.split(b": ", 1)[1] for line in lines if line.lower().startswith(b"authorization")]
    assert sent == ([] if header is None else [header])
    assert b"k-1" not in body


# How a stream may not end


async def test_a_clean_end_without_a_mark_is_a_broken_protocol(client: AsyncBaseTransport) -> None:
    error = await fail(client, answer(block(delta("Hi"))), said="Hi")
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("reason", ["normal", "null", ""])
async def test_what_stands_on_every_chunk_is_no_mark(client: AsyncBaseTransport, reason: str) -> None:
    error = await fail(client, answer(block(delta("Hi", finish_reason=reason))), said="Hi")
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("body", ["", "\n\n", ": keep-alive\n\n", "<html>\n\n</html>\n\n"])
async def test_a_stream_without_a_single_event_is_a_broken_protocol(client: AsyncBaseTransport, body: str) -> None:
    error = await fail(client, answer(body))
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_PROTOCOL, False)


async def test_half_a_block_at_the_end_is_not_taken(client: AsyncBaseTransport) -> None:
    error = await fail(client, answer(block(delta("Hi")), block(STOPPED)[:-10]), said="Hi")
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_where_the_done_mark_is_required_a_finish_reason_is_not_enough(client: AsyncBaseTransport) -> None:
    blocks = [block(delta("Hi")), block(STOPPED)]
    error = await fail(client, answer(*blocks), said="Hi", stop_mark="required")
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert (await play(client, answer(*blocks, DONE), stop_mark="required")).text == "Hi"


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_lost_in_mid_reply_is_unavailable(client: AsyncBaseTransport, end: End) -> None:
    error = await fail(client, *chunked(block(delta("Hi")).encode(), last=False), said="Hi", end=end)
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_UNAVAILABLE, False)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_lost_before_its_first_byte_is_worth_another_attempt(
    client: AsyncBaseTransport, end: End
) -> None:
    error = await fail(client, end=end)
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_UNAVAILABLE, True)


BROKEN = {
    "no JSON": "data: {this is not JSON\n\n",
    "JSON of another kind": "data: [1, 2]\n\n",
    "a field of another kind": block({"choices": "none"}),
    "half of it": 'data: {"choices": [\n\n',
    "endlessly deep": 'data: {"x":' + "[" * 100_000 + "\n\n",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_block_that_cannot_be_read_is_a_broken_protocol(client: AsyncBaseTransport, broken: str) -> None:
    error = await fail(client, answer(block(delta("Hi")), broken, DONE), said="Hi")
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("code", [10007, "10007", 503, "Throttling.RateQuota", "SomethingNew", True, {"a": 1}])
async def test_a_code_is_a_failure_beside_text_too(client: AsyncBaseTransport, code: object) -> None:
    trouble = block({**delta("of no use"), "code": code, "message": "secret"})
    error = await fail(client, answer(block(delta("Hi")), trouble, DONE), said="Hi")
    assert error.error_code in (ErrorCode.UPSTREAM_RATE_LIMITED, ErrorCode.UPSTREAM_UNAVAILABLE)
    assert "secret" not in f"{error!r} {error.details}"


@pytest.mark.parametrize(
    "last", [{}, {"choices": []}, delta(" there"), {"choices": [], "usage": {"completion_tokens": 2}}], ids=repr
)
@pytest.mark.parametrize("code", [10019, "10019"])
async def test_a_reply_that_looks_sensitive_afterwards_keeps_its_text_and_says_so(
    client: AsyncBaseTransport, last: dict[str, object], code: object
) -> None:
    sensitive = block({**last, "code": code, "message": "Success"})
    reply = await play(client, answer(block({**delta("Hi"), "code": 0}), sensitive))
    assert reply.text == ("Hi there" if last == delta(" there") else "Hi")
    assert (reply.usage is not None) is ("usage" in last)
    assert reply.finishes == [Finish(FinishReason.CONTENT_FILTER)]


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "network_error", "abort", "aborted", "error"])
async def test_a_reply_that_was_cut_short_by_the_upstream_is_unavailable(
    client: AsyncBaseTransport, reason: str
) -> None:
    error = await fail(client, answer(block(delta("Hi", finish_reason=reason)), DONE), said="Hi")
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
