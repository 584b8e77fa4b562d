"""What the adapter for Anthropic's Messages API makes of a stream, over real sockets."""

from __future__ import annotations

import json

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Text, Usage
from tests.providers.anthropic_upstream import ENDED, STOPPED, anthropic_for, play, said, stopped
from tests.providers.conftest import Reply, question, read
from tests.providers.raw_upstream import RawUpstream
from tests.upstreams.anthropic import event

FINISHES = [
    ("end_turn", FinishReason.STOP), ("stop_sequence", FinishReason.STOP), ("tool_use", FinishReason.STOP),
    ("pause_turn", FinishReason.STOP), ("compaction", FinishReason.STOP), (None, FinishReason.STOP),
    ("max_tokens", FinishReason.LENGTH), ("model_context_window_exceeded", FinishReason.LENGTH),
    ("refusal", FinishReason.CONTENT_FILTER),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "finish"), FINISHES)
async def test_a_stop_reason_is_translated(
    client: AsyncBaseTransport, reason: str | None, finish: FinishReason
) -> None:
    reply = await play(client, said("Hi"), stopped(reason), ENDED)
    assert (reply.text, reply.finishes) == ("Hi", [Finish(finish)])


PASSED_OVER = {
    "a ping": event({"type": "ping"}),
    "a ping without JSON": b"event: ping\ndata: still here\n\n",
    "no data": b"data:\n\n",
    "an event of the future": event({"type": "content_block_paused", "delta": "x", "message": 7}),
    "a delta of the future": event({"type": "content_block_delta", "delta": {"type": "sound_delta", "text": [1]}}),
    "a block of the future": event({"type": "content_block_start", "content_block": {"type": "sound", "text": 1.5}}),
    "an event of no kind that there could be": b'data: {"type": [3], "delta": "x"}\n\n',
    "a delta of no kind that there could be": event({"type": "content_block_delta", "delta": {"type": [3]}}),
    "an error that is none": event({"type": "ping", "error": None}),
    "arguments": event(
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}}
    ),
    "a citation": event(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"title": "x"}}}
    ),
    "a tool": event(
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "input": {}}}
    ),
    "nothing": event({"type": "content_block_start", "content_block": None}),
    "no type": b'data: {"hello": "world"}\n\n',
    "another's end mark": b"data: [DONE]\n\n",
}  # fmt: skip


@pytest.mark.parametrize("strange", PASSED_OVER.values(), ids=PASSED_OVER.keys())
async def test_what_says_nothing_to_us_is_passed_over(client: AsyncBaseTransport, strange: bytes) -> None:
    reply = await play(client, strange, said("H"), strange, said("i"), strange, STOPPED, strange, ENDED)
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.STOP)])


async def test_a_block_may_begin_with_words(client: AsyncBaseTransport) -> None:
    begun = event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "H"}})
    thought = event({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "?"}})
    reply = await play(client, thought, begun, said("i"), STOPPED, ENDED)
    assert (reply.reasoning, reply.text) == ("?", "Hi")


async def test_the_last_totals_count_and_the_cache_is_input(client: AsyncBaseTransport) -> None:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}
    start = event({"type": "message_start", "message": {"usage": usage}})
    reply = await play(
        client, start, said("Hi"), stopped(None, output_tokens=5), stopped("end_turn", output_tokens=9), ENDED
    )
    assert [one for one in reply.events if isinstance(one, Usage)] == [Usage(123, 9)]
    reply = await play(client, start, said("Hi"), stopped("end_turn", input_tokens=4, output_tokens=9), ENDED)
    assert reply.usage == Usage(124, 9)


async def test_the_end_mark_alone_ends_a_reply(client: AsyncBaseTransport) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, said("Hi"), STOPPED, reply=reply)
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert reply.events == [Text("Hi")]
    assert (await play(client, said("Hi"), STOPPED, ENDED.rstrip(b"\n"))).text == "Hi"


TROUBLES = [
    ("overloaded_error", "Overloaded", ErrorCode.UPSTREAM_UNAVAILABLE, True),
    ("api_error", "Internal server error", ErrorCode.UPSTREAM_UNAVAILABLE, True),
    ("rate_limit_error", "Too fast", ErrorCode.UPSTREAM_RATE_LIMITED, True),
    ("error_of_the_future", "?", ErrorCode.UPSTREAM_UNAVAILABLE, True),
    ("invalid_request_error", "Output blocked by content filtering policy", ErrorCode.CONTENT_FILTERED, False),
    ("invalid_request_error", "?", ErrorCode.UPSTREAM_REJECTED, False),
]  # fmt: skip


@pytest.mark.parametrize("marks", ["named", "nameless", "typeless"])
@pytest.mark.parametrize(("kind", "message", "code", "again"), TROUBLES)
async def test_an_error_in_mid_reply_has_its_code(
    client: AsyncBaseTransport, kind: str, message: str, code: ErrorCode, again: bool, marks: str
) -> None:
    error = {"type": kind, "message": message}
    trouble = {
        "named": event({"type": "error", "error": error}),
        "nameless": event({"type": "error", "error": error}).partition(b"\n")[2],
        "typeless": b"data: " + json.dumps({"error": error}).encode() + b"\n\n",
    }[marks]
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, said("Hi"), trouble, ENDED, reply=reply)
    assert (failure.value.error_code, failure.value.attempt_again) == (code, again)
    assert reply.events == [Text("Hi")]
    assert failure.value.details.keys() <= {"provider", "cause"}


async def test_an_error_without_an_object_is_one(client: AsyncBaseTransport) -> None:
    with pytest.raises(UpstreamError) as failure:
        await play(client, said("Hi"), b"event: error\ndata: Overloaded\n\n", ENDED)
    assert failure.value.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


async def test_529_is_a_busy_hour(client: AsyncBaseTransport) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    head = b"HTTP/1.1 529 Overloaded\r\nContent-Type: application/json\r\nretry-after: 5\r\nConnection: close\r\n\r\n"
    async with RawUpstream(head + body) as upstream:
        with pytest.raises(UpstreamError) as failure:
            await read(anthropic_for(upstream.url, client), question("demo"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert (failure.value.attempt_again, failure.value.retry_after) == (True, 5.0)
    assert failure.value.details == {"provider": "anthropic", "status": 529}
