"""The transport over TLS, with a certificate of the tests' own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from httpx import AsyncBaseTransport

from chat.providers.http import HttptoolsTransport
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream, body_of, chunked


async def test_a_body_arrives_over_tls(certificate: Path, server_tls: ssl.SSLContext) -> None:
    trusting = HttptoolsTransport(ssl.create_default_context(cafile=str(certificate)))
    async with (
        trusting as client,
        RawUpstream(*chunked(b"01234", b"56789"), tls=server_tls) as upstream,
    ):
        assert await body_of(client, upstream.request()) == b"0123456789"


async def test_a_certificate_that_nobody_vouches_for_is_a_connect_error(
    client: AsyncBaseTransport, server_tls: ssl.SSLContext
) -> None:
    async with RawUpstream(tls=server_tls) as upstream:
        with pytest.raises(httpx.ConnectError):
            await body_of(client, upstream.request())
        assert upstream.requests == []


async def test_a_server_without_tls_is_a_connect_error(client: AsyncBaseTransport) -> None:
    async with RawUpstream(b"SSH-2.0-x\r\n", wait_for_request=False) as upstream:
        with pytest.raises(httpx.ConnectError):
            await body_of(client, httpx.Request("POST", upstream.url.replace("http://", "https://")))


def trusting(certificate: Path) -> HttptoolsTransport:
    return HttptoolsTransport(ssl.create_default_context(cafile=str(certificate)))


async def test_a_long_body_arrives_whole(certificate: Path, server_tls: ssl.SSLContext) -> None:
    pieces = [bytes([65 + number % 26]) * 50_000 for number in range(40)]
    async with trusting(certificate) as client, RawUpstream(*chunked(*pieces), tls=server_tls) as upstream:
        assert await body_of(client, upstream.request()) == b"".join(pieces)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_next_connection_resumes_the_session(
    certificate: Path, server_tls: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    server_tls.maximum_version = version
    async with trusting(certificate) as client, RawUpstream(*chunked(b"words"), tls=server_tls) as upstream:
        for _ in range(3):
            assert await body_of(client, upstream.request()) == b"words"
        assert upstream.resumed == [False, True, True]


async def test_one_server_s_session_is_not_offered_to_another(certificate: Path, server_tls: ssl.SSLContext) -> None:
    async with (
        trusting(certificate) as client,
        RawUpstream(*chunked(b"one"), tls=server_tls) as first,
        RawUpstream(*chunked(b"two"), tls=server_tls) as second,
    ):
        assert await body_of(client, first.request()) == b"one"
        assert await body_of(client, second.request()) == b"two"
        assert first.resumed == second.resumed == [False]


async def test_a_server_that_closes_ends_a_body_without_length(certificate: Path, server_tls: ssl.SSLContext) -> None:
    async with trusting(certificate) as client, RawUpstream(STREAM_HEAD, b"all of it", tls=server_tls) as upstream:
        assert await body_of(client, upstream.request()) == b"all of it"


async def test_a_reset_in_mid_body_keeps_what_came(certificate: Path, server_tls: ssl.SSLContext) -> None:
    upstream = RawUpstream(*chunked(b"before", last=False), end="reset", tls=server_tls)
    async with trusting(certificate) as client, upstream:
        received = bytearray()
        with pytest.raises(httpx.TransportError):
            await body_of(client, upstream.request(), received)
        assert received == b"before"


@asynccontextmanager
async def relayed(upstream: RawUpstream, passed_on: Callable[[bytes], Iterable[bytes]]) -> AsyncIterator[httpx.Request]:
    """A request that goes through a relay: what the server sends comes as `passed_on` makes it of it."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", upstream.port)

        async def to_server() -> None:
            while data := await reader.read(65536):
                back.write(data)

        sending = asyncio.create_task(to_server())
        try:
            while data := await there.read(65536):
                for piece in passed_on(data):
                    writer.write(piece)
                    await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            sending.cancel()
            back.close()
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield httpx.Request("POST", f"https://localhost:{port}/v1", content=b"{}")
    server.close()


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_records_that_come_in_pieces_are_put_together(
    certificate: Path, server_tls: ssl.SSLContext, size: int
) -> None:
    def in_pieces(data: bytes) -> Iterable[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    async with (
        trusting(certificate) as client,
        RawUpstream(*chunked(b"put ", b"together"), tls=server_tls) as upstream,
        relayed(upstream, in_pieces) as request,
    ):
        assert await body_of(client, request) == b"put together"


async def test_bytes_that_are_no_record_break_the_connection_and_nothing_else(
    certificate: Path, server_tls: ssl.SSLContext
) -> None:
    def changed(data: bytes) -> Iterable[bytes]:
        return [b"\x17\x03\x03\x00\x05wrong"] if upstream.requests else [data]

    async with trusting(certificate) as client, RawUpstream(*chunked(b"words"), tls=server_tls) as upstream:
        async with relayed(upstream, changed) as request:
            with pytest.raises(httpx.TransportError):
                await body_of(client, request)
        assert await body_of(client, upstream.request()) == b"words"
