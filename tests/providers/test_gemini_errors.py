"""Gemini's errors in mid-stream over real sockets: as events, and as JSON that is none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers.sse_reply import MAX_OBJECT
from tests.providers.conftest import question, read, until
from tests.providers.gemini_upstream import block, chunk, fail, gemini_for, play
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream

BUSY = {
    "error": {
        "code": 503,
        "message": "The model is overloaded {[. Please try again later.",
        "status": "UNAVAILABLE",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}],
    }
}
PRETTY = json.dumps(BUSY, indent=2).encode()
BARE = {
    "on one line": json.dumps(BUSY).encode(),
    "over several lines": PRETTY,
    "with CRLF": PRETTY.replace(b"\n", b"\r\n") + b"\r\n",
    "in an array": b"[" + PRETTY + b"\n]\n",
    "in an array that is never closed": b"[" + PRETTY + b"\n,",
    "with something behind it": PRETTY + b"\n\ndata: [DONE]\n\n",
}
EVENTS = {"as an event": block(BUSY), "in an array as an event": block([BUSY])}


@pytest.mark.parametrize("trouble", (BARE | EVENTS).values(), ids=(BARE | EVENTS).keys())
@pytest.mark.parametrize("steps", [1, 1 << 20], ids=["byte by byte", "whole"])
async def test_an_error_has_its_code_however_it_comes(client: AsyncBaseTransport, trouble: bytes, steps: int) -> None:
    for before, said in ((b"", ""), (b"\r\n", ""), (chunk("Hi") + chunk(" there"), "Hi there")):
        wire = before + trouble
        failure = await fail(client, *(wire[at : at + steps] for at in range(0, len(wire), steps)), said=said)
        assert failure.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
        assert (failure.attempt_again, failure.retry_after) == (True, 12.0)


@pytest.mark.parametrize("bare", BARE.values(), ids=BARE.keys())
async def test_what_lacks_its_empty_line_before_an_error_is_said_all_the_same(
    client: AsyncBaseTransport, bare: bytes
) -> None:
    await fail(client, chunk("Hi").removesuffix(b"\r\n"), bare, said="Hi")


async def test_an_error_is_told_before_the_connection_ends(client: AsyncBaseTransport) -> None:
    async with RawUpstream(STREAM_HEAD, chunk("Hi"), PRETTY + b"\n", end="hold") as upstream:
        with pytest.raises(UpstreamError):
            await read(gemini_for(upstream.url, client), question("demo"))
        await until(upstream.left.is_set)


async def test_json_without_end_is_given_up(client: AsyncBaseTransport) -> None:
    for before in (b"", chunk("Hi")):
        async with RawUpstream(STREAM_HEAD, before, b"{" + b" " * MAX_OBJECT, end="hold") as upstream:
            with pytest.raises(UpstreamError) as failure:
                await asyncio.wait_for(read(gemini_for(upstream.url, client), question("demo")), 10)
        assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_an_error_behind_the_finish_reason_is_one(client: AsyncBaseTransport) -> None:
    failure = await fail(client, chunk("Hi", "STOP"), PRETTY, said="Hi")
    assert failure.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


async def test_json_that_is_no_error_ends_no_reply(client: AsyncBaseTransport) -> None:
    assert (await play(client, chunk("Hi", "STOP"), b"[]\n")).text == "Hi"
    for strange in (b"{}", b"[1]", b'{"error": null}', b"{" * 70_000):
        failure = await fail(client, chunk("Hi"), strange, said="Hi")
        assert failure.error_code is ErrorCode.UPSTREAM_PROTOCOL


ERRORS: list[tuple[dict[str, Any], ErrorCode, bool, Cause | None]] = [
    ({"status": "RESOURCE_EXHAUSTED"}, ErrorCode.UPSTREAM_RATE_LIMITED, True, None),
    ({"status": "CANCELLED", "code": 499}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"status": "STATUS_OF_THE_FUTURE", "code": 429}, ErrorCode.UPSTREAM_RATE_LIMITED, True, None),
    ({"code": 500}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"message": "?"}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"status": [3], "code": 429}, ErrorCode.UPSTREAM_RATE_LIMITED, True, None),
    ({"status": {"a": 1}, "message": [3], "code": [4]}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]},
     ErrorCode.UPSTREAM_AUTH, False, Cause.KEY),
    ({"status": "PERMISSION_DENIED", "details": [None, {"reason": "BILLING_DISABLED"}]},
     ErrorCode.UPSTREAM_AUTH, False, Cause.QUOTA),
    ({"status": "FAILED_PRECONDITION", "message": "User location is not supported for the API use."},
     ErrorCode.UPSTREAM_AUTH, False, None),
    ({"status": "NOT_FOUND", "details": {}}, ErrorCode.UPSTREAM_REJECTED, False, Cause.MODEL),
    ({"status": "INVALID_ARGUMENT", "message": 7}, ErrorCode.UPSTREAM_REJECTED, False, None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code", "again", "cause"), ERRORS)
async def test_an_error_is_known_by_its_marks(
    client: AsyncBaseTransport, error: dict[str, Any], code: ErrorCode, again: bool, cause: Cause | None
) -> None:
    failure = await fail(client, chunk("Hi"), block({"error": error}), said="Hi")
    assert (failure.error_code, failure.attempt_again, failure.details.get("cause")) == (code, again, cause)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("34s", 34.0), ("0.250s", 0.25), ("999999999s", 86400.0), ("soon", None), (34, None)]
)
async def test_how_long_to_wait_is_told(client: AsyncBaseTransport, delay: object, seconds: float | None) -> None:
    error = {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": delay}]}
    assert (await fail(client, block({"error": error}))).retry_after == seconds
