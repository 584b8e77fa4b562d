"""What the adapter for Gemini makes of a stream, over real sockets."""

from __future__ import annotations

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode
from chat.events import Finish, FinishReason, Text, Usage
from tests.providers.gemini_upstream import block, chunk, fail, play

FINISHES = [
    ("STOP", FinishReason.STOP), ("OTHER", FinishReason.STOP), ("MALFORMED_FUNCTION_CALL", FinishReason.STOP),
    ("REASON_OF_THE_FUTURE", FinishReason.STOP), ("MAX_TOKENS", FinishReason.LENGTH),
    ("SAFETY", FinishReason.CONTENT_FILTER), ("RECITATION", FinishReason.CONTENT_FILTER),
    ("BLOCKLIST", FinishReason.CONTENT_FILTER), ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
    ("SPII", FinishReason.CONTENT_FILTER), ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "finish"), FINISHES)
async def test_a_finish_reason_is_translated(client: AsyncBaseTransport, reason: str, finish: FinishReason) -> None:
    for last in (chunk("", reason), chunk(None, reason)):
        reply = await play(client, chunk("Hi"), last)
        assert (reply.text, reply.finishes) == ("Hi", [Finish(finish)])


PASSED_OVER = {
    "nothing": block({}),
    "null": block({"candidates": None, "usageMetadata": None, "promptFeedback": None, "error": None}),
    "no parts": block({"candidates": [{"content": {"role": "model", "parts": None}, "finishReason": None}]}),
    "other parts": block({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}, {}]}}]}),
    "not yet finished": chunk("", "FINISH_REASON_UNSPECIFIED"),
    "another answer": block({"candidates": [{"index": 1, "content": {"parts": [{"text": "No"}]}}]}),
    "ratings": block({"promptFeedback": {"safetyRatings": []}, "candidates": [{"index": 0}]}),
    "no data": b"data:\r\n\r\n",
    "another's end mark": b"data: [DONE]\r\n\r\n",
}


@pytest.mark.parametrize("strange", PASSED_OVER.values(), ids=PASSED_OVER.keys())
async def test_what_says_nothing_to_us_is_passed_over(client: AsyncBaseTransport, strange: bytes) -> None:
    reply = await play(client, strange, chunk("H"), strange, chunk("i", "STOP"), strange)
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.STOP)])
    failure = await fail(client, strange, chunk("H"), strange, said="H")
    assert failure.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT", "BLOCKLIST"])
async def test_a_question_that_is_blocked_has_its_code(client: AsyncBaseTransport, reason: str) -> None:
    blocked = block({"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 4}})
    failure = await fail(client, blocked)
    assert (failure.error_code, failure.attempt_again) == (ErrorCode.CONTENT_FILTERED, False)


USAGES: list[tuple[list[dict[str, int]], Usage | None]] = [
    ([{"promptTokenCount": 8, "candidatesTokenCount": 2}, {"candidatesTokenCount": 5}], Usage(8, 5)),
    ([{"promptTokenCount": 8, "thoughtsTokenCount": 30}, {"candidatesTokenCount": 5}], Usage(8, 35)),
    ([{"promptTokenCount": 8, "toolUsePromptTokenCount": 2}, {"totalTokenCount": 10}], Usage(10, 0)),
    ([{"candidatesTokenCount": 5}, {"totalTokenCount": 13}], Usage(0, 5)),
    ([{}, {"totalTokenCount": 13}], None),
]  # fmt: skip


@pytest.mark.parametrize(("reports", "usage"), USAGES)
async def test_the_last_totals_count_and_thoughts_are_output(
    client: AsyncBaseTransport, reports: list[dict[str, int]], usage: Usage | None
) -> None:
    first, last = reports
    reply = await play(client, chunk("H", usageMetadata=first), chunk("i", "STOP", usageMetadata=last))
    assert [one for one in reply.events if isinstance(one, Usage)] == ([] if usage is None else [usage])


async def test_the_stream_ends_with_its_connection(client: AsyncBaseTransport) -> None:
    failure = await fail(client, chunk("Hi"), said="Hi")
    assert failure.error_code is ErrorCode.UPSTREAM_PROTOCOL
    reply = await play(client, chunk("Hi", "STOP"), chunk(" there"))
    assert [event.delta for event in reply.events if isinstance(event, Text)] == ["Hi", " there"]
