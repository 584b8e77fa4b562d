"""Every way a connection to iFlytek Spark begins and ends: the handshake, broken frames, closes, the gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chat.errors import Cause, ErrorCode
from chat.providers.base import Profile, Timeouts, Unpaced
from chat.providers.refused_handshake import HandshakeRefused
from chat.providers.spark import Spark
from chat.providers.spark_signing import signed_url
from chat.providers.websocket import UpstreamSocket
from chat.simulators.spark import SparkSimulator
from chat.simulators.spark_gateway import SKEWED
from tests.providers.conftest import API_KEY, API_SECRET, MODELS, Reply, question, read, spark_for, until
from tests.providers.spark_upstream import failure_of, frame, says, upstream


@pytest.mark.parametrize(
    "raw",
    [b"\x83\x00", b"\xf1\x02{}", b"\x81\x02\xff\xfe", b"\x80\x02{}"],
    ids=["an opcode of nobody's", "a reserved bit", "no UTF-8", "a continuation of nothing"],
)
async def test_a_broken_frame_is_of_no_protocol(raw: bytes) -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(frame("before", 0))
        connection.transport.write(raw)
        await connection.wait_closed()

    reply = Reply()
    async with upstream(behave) as provider:
        error = await failure_of(provider, reply)
    assert (error.error_code, reply.text) == (ErrorCode.UPSTREAM_PROTOCOL, "before")


@pytest.mark.parametrize(
    ("close_code", "expected"),
    [
        (1000, ErrorCode.UPSTREAM_PROTOCOL),
        (1001, ErrorCode.UPSTREAM_UNAVAILABLE),
        (1009, ErrorCode.UPSTREAM_REJECTED),
        (1011, ErrorCode.UPSTREAM_UNAVAILABLE),
        (1013, ErrorCode.UPSTREAM_UNAVAILABLE),
    ],
)
async def test_a_close_before_the_end_mark_is_a_failure(close_code: int, expected: ErrorCode) -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(frame("before", 0))
        await connection.close(close_code)

    reply = Reply()
    async with upstream(behave) as provider:
        error = await failure_of(provider, reply)
    assert (error.error_code, reply.text) == (expected, "before")


async def test_a_connection_that_ends_without_a_close_frame_has_died() -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(frame("before", 0))
        connection.transport.close()

    async with upstream(behave) as provider:
        assert (await failure_of(provider)).error_code is ErrorCode.UPSTREAM_UNAVAILABLE


async def test_the_socket_is_closed_properly_after_the_last_frame() -> None:
    codes: list[int | None] = []

    async def behave(connection: ServerConnection) -> None:
        await connection.send(frame("x", 2))
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with upstream(behave) as provider:
        await read(provider, question("demo"))
        await until(lambda: codes)
    assert codes == [1000]


# The handshake


def refusing(status: int, message: str) -> Callable[[ServerConnection, Request], Response]:
    return lambda connection, request: connection.respond(HTTPStatus(status), json.dumps({"message": message}))


@pytest.mark.parametrize(
    ("status", "message", "expected", "again", "hint"),
    [
        (401, "Unauthorized", ErrorCode.UPSTREAM_AUTH, False, False),
        (403, SKEWED, ErrorCode.UPSTREAM_AUTH, False, True),
        (403, "Your IP address is not allowed", ErrorCode.UPSTREAM_AUTH, False, False),
        (404, "no Route matched", ErrorCode.UPSTREAM_REJECTED, False, False),
        (429, "busy", ErrorCode.UPSTREAM_RATE_LIMITED, True, False),
        (500, "broken", ErrorCode.UPSTREAM_UNAVAILABLE, True, False),
        (503, "away", ErrorCode.UPSTREAM_UNAVAILABLE, True, False),
    ],
)
async def test_a_refused_handshake_has_its_code(
    status: int, message: str, expected: ErrorCode, again: bool, hint: bool
) -> None:
    async with upstream(says(), refusing(status, message)) as provider:
        error = await failure_of(provider)
    assert (error.error_code, error.attempt_again) == (expected, again)
    assert ("hint" in error.details) is hint
    assert message not in str(error.details)


@pytest.mark.parametrize(
    ("date", "skew"), [("Thu, 01 Jan 1970 00:00:00 GMT", True), ("yesterday", False), ("", False), (None, False)]
)
async def test_a_refused_date_tells_how_far_our_clock_is_off_where_the_answer_has_a_date(
    date: str | None, skew: bool
) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        answer = connection.respond(HTTPStatus.FORBIDDEN, SKEWED)
        del answer.headers["Date"]
        if date is not None:
            answer.headers["Date"] = date
        return answer

    before = time.time()
    async with upstream(says(), refuse) as provider:
        error = await failure_of(provider)
    assert error.details["cause"] is Cause.CLOCK
    assert ("skew" in error.details) is skew
    if skew:
        assert isinstance(error.details["skew"], int)
        assert round(before) <= error.details["skew"] <= round(time.time())


async def test_a_busy_gateway_says_how_long_to_wait() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        answer = connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "{}")
        answer.headers["Retry-After"] = "7"
        return answer

    async with upstream(says(), refuse) as provider:
        error = await failure_of(provider)
    assert (error.attempt_again, error.retry_after) == (True, 7.0)


@asynccontextmanager
async def answering(answer: bytes, pieces: int, *, hold: bool = True) -> AsyncIterator[str]:
    """The address of a server that answers one handshake so, and holds the connection until the client has gone."""
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = -(-len(answer) // pieces)
        with suppress(ConnectionError):
            for at in range(0, len(answer), size):
                writer.write(answer[at : at + size])
                await writer.drain()
                await asyncio.sleep(0.01)
            if hold:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3.5/chat"
        await asyncio.wait_for(over.wait(), 10)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", ErrorCode.UPSTREAM_UNAVAILABLE),
        (b"HTTP/1.1 101 Switch", ErrorCode.UPSTREAM_UNAVAILABLE),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorCode.UPSTREAM_PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ErrorCode.UPSTREAM_PROTOCOL),
    ],
    ids=["nothing", "half a line", "another protocol", "a web page"],
)
async def test_a_server_that_answers_no_handshake(answer: bytes, expected: ErrorCode) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(spark_for(f"ws://127.0.0.1:{port}/v3.5/chat"))
    assert error.error_code is expected


LONG = b"x" * (5 << 20)
REFUSALS = {
    "a long body": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (len(LONG), LONG),
    "a long body in chunks": b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n"
    % (len(LONG), LONG),
    "a body without an end": b"HTTP/1.1 401 Unauthorized\r\n\r\nwho is there?",
    "a body that never comes": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\n",
    "after a hint": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    "no body": b"HTTP/1.0 401 Unauthorized\r\n\r\n",
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
async def test_a_refusal_keeps_its_status_whatever_its_body_is(answer: bytes, pieces: int) -> None:
    async with answering(answer, pieces) as url:
        error = await failure_of(spark_for(url))
    assert (error.error_code, error.details["status"]) == (ErrorCode.UPSTREAM_AUTH, 401)


async def test_what_came_of_a_refusals_body_is_looked_at() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\n\r\n"
    async with answering(head + json.dumps({"message": SKEWED}).encode(), 3) as url:
        error = await failure_of(spark_for(url))
    assert (error.error_code, error.details["cause"]) == (ErrorCode.UPSTREAM_AUTH, Cause.CLOCK)
    assert "skew" in error.details


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 401 No\r\n" + b"A: b\r\n" * 20_000, b"HTTP/1.1 4x1 No\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\n" * 9_000],
    ids=["a head without end", "no status", "hints without end"],
)
async def test_a_refusal_that_is_no_http_is_none(answer: bytes) -> None:
    async with answering(answer, 1) as url:
        error = await failure_of(spark_for(url))
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_a_refusal_that_breaks_off_in_its_head_is_a_lost_connection() -> None:
    async with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Le", 1, hold=False) as url:
        error = await failure_of(spark_for(url))
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


async def test_a_handshake_without_an_answer_times_out() -> None:
    left = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = Spark(
            Profile("spark", "Spark", MODELS, Timeouts(connect=0.2), 0),
            base_url=f"ws://127.0.0.1:{port}/v3.5/chat", app_id="a", api_key="k", api_secret="s",
        )  # fmt: skip
        assert (await failure_of(provider)).error_code is ErrorCode.UPSTREAM_TIMEOUT
        await asyncio.wait_for(left.wait(), 5)


# The simulator's gateway


@pytest.mark.parametrize("skew", [-400.0, 400.0])
async def test_a_clock_that_is_off_is_refused(spark_simulator: SparkSimulator, skew: float) -> None:
    stale = signed_url(spark_simulator.url, API_KEY, API_SECRET, now=time.time() + skew)
    with pytest.raises(HandshakeRefused) as refusal:
        await UpstreamSocket.connect(stale, pace=Unpaced(), seconds=2)
    assert refusal.value.status == 403
    assert b"valid date" in refusal.value.body


async def test_a_key_of_nobodys_is_refused(spark_simulator: SparkSimulator) -> None:
    provider = Spark(
        Profile("spark", "Spark", MODELS, Timeouts(), 0),
        base_url=spark_simulator.url, app_id="a", api_key="nobody", api_secret=API_SECRET,
    )  # fmt: skip
    assert (await failure_of(provider)).error_code is ErrorCode.UPSTREAM_AUTH
    assert not spark_simulator.connections


async def test_no_log_line_carries_a_credential(
    spark_simulator: SparkSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await read(spark_for(spark_simulator.url), question("tokens-1-0"))
    assert "authorization=" not in caplog.text
    assert API_KEY not in caplog.text
