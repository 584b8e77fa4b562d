"""DashScope's own interface: what its table may say, and replies too short to tell what their events repeat."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode, UpstreamError
from chat.providers.base import ChatRequest, Profile, Turn
from chat.providers.dashscope import DashScope
from tests.providers.conftest import MODELS, TIMEOUTS, Reply, question, read
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream, chunked

OPEN = (Turn("user", "How are you?"), Turn("assistant", "Some words "))


def event(answer: Any, thoughts: Any = None, reason: str = "null") -> bytes:
    message = {"role": "assistant", "content": answer, "reasoning_content": thoughts}
    data = {"output": {"choices": [{"message": message, "finish_reason": reason}]}}
    return b"event:result\n:HTTP_STATUS/200\ndata:" + json.dumps(data).encode() + b"\n\n"


async def answered(client: AsyncBaseTransport, *events: bytes) -> Reply:
    async with RawUpstream(STREAM_HEAD + b"".join(events)) as upstream:
        provider = DashScope(Profile("raw", "Raw", MODELS, TIMEOUTS), base_url=upstream.url, api_key="k", http=client)
        return await read(provider, question("demo"))


async def failure_after(client: AsyncBaseTransport, *pieces: bytes) -> tuple[UpstreamError, Reply]:
    reply = Reply()
    async with RawUpstream(*pieces) as upstream:
        provider = DashScope(Profile("raw", "Raw", MODELS, TIMEOUTS), base_url=upstream.url, api_key="k", http=client)
        with pytest.raises(UpstreamError) as failure:
            await read(provider, question("demo"), reply)
    assert reply.finishes == []
    return failure.value, reply


@pytest.mark.parametrize(
    ("events", "answer", "thoughts"),
    [
        pytest.param([event("Ha"), event("Ha"), event("", reason="stop")], "HaHa", "", id="deltas"),
        pytest.param([event("Ha"), event("Haha"), event("Haha", reason="stop")], "Haha", "", id="repetitions"),
        pytest.param([event("Ha", reason="stop")], "Ha", "", id="one event"),
        pytest.param([event("ha"), event("ha"), event("ha", reason="stop")], "hahaha", "", id="the same three times"),
        pytest.param([event("Yes"), event("Yes", reason="stop")], "Yes", "", id="the only word again at the end"),
        pytest.param(
            [event("", "Hm"), event("", "Hm, ha"), event("Ha", reason="stop")], "Ha", "Hm, ha",
            id="repetitions, one event of the answer",
        ),
        pytest.param([event("Ha"), event("", reason=""), event("!", reason="stop")], "Ha!", "", id="an empty reason"),
        pytest.param([event("Ha", reason="stop"), event("Ha"), b"data:{\n\n"], "Ha", "", id="what follows the end"),
        pytest.param(
            [event("", "Hm"), event("", "Hm, ha"), event("Ha"), event("Haha"), event("Haha", reason="stop")],
            "Haha", "Hm, ha", id="repetitions, thoughts before them",
        ),
        pytest.param(
            [event(None, "Hm"), event(None, "Hm"), event("Ha"), event("Ho"), event(None, reason="stop")],
            "HaHo", "HmHm", id="deltas, thoughts before them",
        ),
    ],
)  # fmt: skip
async def test_a_short_reply_is_told_by_its_last_event(
    client: AsyncBaseTransport, events: list[bytes], answer: str, thoughts: str
) -> None:
    reply = await answered(client, *events)
    assert (reply.text, reply.reasoning) == (answer, thoughts)


async def test_a_reply_that_repeats_itself_and_then_does_not_is_broken(client: AsyncBaseTransport) -> None:
    whole = "Once upon a time, there was"
    with pytest.raises(UpstreamError) as failure:
        await answered(client, event(whole), event(whole + " a model."), event("Another time"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL


CUT = [
    pytest.param(b"", ErrorCode.UPSTREAM_PROTOCOL, id="its end"),
    pytest.param(event("", reason=""), ErrorCode.UPSTREAM_PROTOCOL, id="its end behind an empty reason"),
    pytest.param(b"data:{\n\n", ErrorCode.UPSTREAM_PROTOCOL, id="garbage"),
    pytest.param(b'event:error\ndata:{"code":"InternalError"}\n\n', ErrorCode.UPSTREAM_UNAVAILABLE, id="an error"),
    pytest.param(
        b"event:error\ndata:{}\n\n" + event("", reason="stop"), ErrorCode.UPSTREAM_PROTOCOL, id="an error of no words"
    ),
]


@pytest.mark.parametrize(("end", "code"), CUT)
async def test_what_was_held_back_is_said_before_a_failure(
    client: AsyncBaseTransport, end: bytes, code: ErrorCode
) -> None:
    error, reply = await failure_after(client, STREAM_HEAD, event("Ha", "Hm") * 3, end)
    assert (error.error_code, reply.text, reply.reasoning) == (code, "HaHaHa", "HmHmHm")


async def test_what_was_held_back_is_said_before_a_cut(client: AsyncBaseTransport) -> None:
    error, reply = await failure_after(client, *chunked(event("Ha") * 3, last=False))
    assert (error.error_code, reply.text) == (ErrorCode.UPSTREAM_UNAVAILABLE, "HaHaHa")


async def test_of_what_may_be_repetitions_a_cut_reply_says_only_what_is_sure(client: AsyncBaseTransport) -> None:
    """Ha, then more of it; or HaHaha."""
    _error, reply = await failure_after(client, STREAM_HEAD, event("Ha"), event("Haha"))
    assert reply.text == "Ha"


async def test_where_its_models_know_partial_they_are_told_of_it(client: AsyncBaseTransport) -> None:
    async with RawUpstream(STREAM_HEAD + event("more", reason="stop")) as upstream:
        provider = DashScope(
            Profile("raw", "Raw", MODELS, TIMEOUTS), base_url=upstream.url, api_key="k", prefill=True, http=client
        )
        await read(provider, ChatRequest("demo", OPEN))
    body = json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])
    assert body["input"]["messages"][-1] == {"role": "assistant", "content": "Some words ", "partial": True}


async def test_a_code_that_nobody_knows_may_pass(client: AsyncBaseTransport) -> None:
    with pytest.raises(UpstreamError) as failure:
        await answered(client, b'event:error\n:HTTP_STATUS/500\ndata:{"code":"Something.New","message":"secret"}\n\n')
    assert (failure.value.error_code, failure.value.attempt_again) == (ErrorCode.UPSTREAM_UNAVAILABLE, True)
    assert "secret" not in f"{failure.value!r} {failure.value.details}"
