"""Every way a connection to iFlytek Spark begins and ends: the handshake, broken frames, closes, the gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chat.errors import ErrorCode
from chat.providers.base import Timeouts, Unpaced
from chat.providers.spark import Spark
from chat.providers.spark_signing import signed_url
from chat.providers.websocket import HandshakeRefused, UpstreamSocket
from chat.simulators.spark import SparkSimulator
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


SKEWED = "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication"


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


async def test_a_handshake_without_an_answer_times_out() -> None:
    left = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = Spark(
            "spark", "Spark", MODELS, Timeouts(connect=0.2), 0, (),
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
        "spark", "Spark", MODELS, Timeouts(), 0, (),
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
