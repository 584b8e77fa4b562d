"""The transport under httpx: framing, ends, failures, TLS, and what it sends."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from httpx import AsyncBaseTransport

from chat.providers.base import Source
from chat.providers.http import MAX_HEAD, CutShort, NoAnswer, open_response
from tests.providers.conftest import until
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream, body_of, chunked


def post(url: str, **extensions: object) -> httpx.Request:
    return httpx.Request("POST", url, content=b"{}", extensions=extensions)


def one_byte_pieces(answer: bytes) -> list[bytes]:
    return [answer[at : at + 1] for at in range(len(answer))]


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"


@pytest.mark.parametrize(
    "answer",
    [LENGTH, b"".join(chunked(b"01234", b"56789")), STREAM_HEAD + b"0123456789", b"HTTP/1.0 200 OK\r\n\r\n0123456789"],
    ids=["length", "chunked", "until-close", "http-1.0"],
)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte-by-byte"])
async def test_a_body_arrives_however_it_is_framed_and_split(
    client: AsyncBaseTransport, answer: bytes, split: bool
) -> None:
    async with RawUpstream(*(one_byte_pieces(answer) if split else [answer])) as upstream:
        assert await body_of(client, post(upstream.url)) == b"0123456789"


async def test_a_body_is_handed_out_as_it_comes(client: AsyncBaseTransport) -> None:
    async with (
        RawUpstream(*chunked(b"first", last=False), end="hold") as upstream,
        open_response(client, post(upstream.url)) as response,
    ):
        assert await anext(aiter(response.stream)) == b"first"  # type: ignore[arg-type]


async def test_status_and_headers_are_the_last_heads_and_trailers_are_none(client: AsyncBaseTransport) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 418 Teapot\r\nA: 1\r\nA: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n"
    )
    async with RawUpstream(answer) as upstream, open_response(client, post(upstream.url)) as response:
        assert await anext(aiter(response.stream)) == b"hi"  # type: ignore[arg-type]
        assert (response.status_code, response.headers.get_list("a")) == (418, ["1", "2"])
        assert "link" not in response.headers
        assert "trailer" not in response.headers


async def test_what_follows_a_complete_answer_is_not_read(client: AsyncBaseTransport) -> None:
    async with RawUpstream(LENGTH + LENGTH + b"garbage") as upstream:
        assert await body_of(client, post(upstream.url)) == b"0123456789"


async def test_an_answer_without_a_body_ends_at_its_head(client: AsyncBaseTransport) -> None:
    async with RawUpstream(b"HTTP/1.1 204 No Content\r\n\r\n", end="hold") as upstream:
        assert await body_of(client, post(upstream.url)) == b""


CUT = [
    ("length", [LENGTH[:-1]]),
    ("chunked", chunked(b"01234", last=False)),
    ("in-a-chunk", [*chunked(b"0123", last=False), b"5\r\n4"]),
]


@pytest.mark.parametrize("answer", [case[1] for case in CUT], ids=[case[0] for case in CUT])
async def test_a_body_that_ends_too_early_is_cut_short(client: AsyncBaseTransport, answer: list[bytes]) -> None:
    received = bytearray()
    async with RawUpstream(*answer) as upstream:
        with pytest.raises(CutShort) as failure:
            await body_of(client, post(upstream.url), received)
    assert isinstance(failure.value, httpx.RemoteProtocolError)
    assert received.startswith(b"0123")


@pytest.mark.parametrize(
    "answer", [STREAM_HEAD + b"0123", chunked(b"0123", last=False)[0]], ids=["in-the-body", "after-the-head"]
)
async def test_a_reset_in_the_answer_is_a_read_error(client: AsyncBaseTransport, answer: bytes) -> None:
    async with RawUpstream(answer, end="reset") as upstream:
        with pytest.raises(httpx.ReadError):
            await body_of(client, post(upstream.url))


async def test_a_close_before_the_answer_is_no_answer(client: AsyncBaseTransport) -> None:
    async with RawUpstream() as upstream:
        with pytest.raises(NoAnswer):
            await body_of(client, post(upstream.url))


async def test_a_close_in_the_head_is_cut_short(client: AsyncBaseTransport) -> None:
    async with RawUpstream(b"HTTP/1.1 200 OK\r\nContent-") as upstream:
        with pytest.raises(CutShort):
            await body_of(client, post(upstream.url))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["another-protocol", "a-bad-length", "an-upgrade"],
)
async def test_what_is_not_http_is_a_protocol_error(client: AsyncBaseTransport, answer: bytes) -> None:
    async with RawUpstream(answer, end="hold") as upstream:
        with pytest.raises(httpx.RemoteProtocolError) as failure:
            await body_of(client, post(upstream.url))
    assert not isinstance(failure.value, NoAnswer | CutShort)


async def test_what_came_before_broken_framing_is_handed_out_first(client: AsyncBaseTransport) -> None:
    received = bytearray()
    async with RawUpstream(b"".join(chunked(b"0123", last=False)) + b"no number\r\n") as upstream:
        with pytest.raises(httpx.RemoteProtocolError):
            await body_of(client, post(upstream.url), received)
    assert received == b"0123"


ENDLESS = [
    ("head", b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
    ("header", b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
    ("hints", b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n"),
    ("chunk-extension", chunked(b"0123", last=False)[0] + b"4;x=", b"x" * 1000),
    ("trailer", b"".join(chunked(b"0123", last=False)) + b"0\r\nX: ", b"x" * 1000),
]


@pytest.mark.parametrize(("start", "more"), [case[1:] for case in ENDLESS], ids=[case[0] for case in ENDLESS])
async def test_framing_without_end_is_refused(client: AsyncBaseTransport, start: bytes, more: bytes) -> None:
    pieces = [start, *[more * 16] * (2 * MAX_HEAD // 16000)]
    async with RawUpstream(*pieces, end="hold") as upstream:
        with pytest.raises(httpx.RemoteProtocolError):
            await body_of(client, post(upstream.url))


async def test_nobody_listening_is_a_connect_error(client: AsyncBaseTransport) -> None:
    async with RawUpstream() as upstream:
        url = upstream.url
    with pytest.raises(httpx.ConnectError):
        await body_of(client, post(url))


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b"])
async def test_an_unknown_host_is_a_connect_error(client: AsyncBaseTransport, host: str) -> None:
    with pytest.raises(httpx.ConnectError):
        await body_of(client, post(f"http://{host}/"))


async def test_a_server_that_does_not_accept_is_a_connect_timeout(client: AsyncBaseTransport) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # The kernel accepts for as long as the backlog has room.
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        request = post(f"http://127.0.0.1:{address[1]}/", timeout={"connect": 0.2})
        with pytest.raises(httpx.ConnectTimeout):
            await body_of(client, request)
        for sock in waiting:
            sock.close()


async def test_another_scheme_is_unsupported(client: AsyncBaseTransport) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await body_of(client, post("ftp://localhost/"))


async def test_the_request_asks_for_an_uncompressed_answer_and_a_closed_connection(
    client: AsyncBaseTransport,
) -> None:
    async with RawUpstream(LENGTH) as upstream:
        request = httpx.Request("POST", f"{upstream.url}/a b?c=d", headers={"X-Key": "v"}, content="你好".encode())
        await body_of(client, request)
        port = upstream.url.rpartition(":")[2].removesuffix("/v1")
    head, _blank, body = upstream.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    assert line == "POST /v1/a%20b?c=d HTTP/1.1"
    assert body.decode() == "你好"
    named = {name.lower(): value for name, _colon, value in (header.partition(": ") for header in headers)}
    assert len(named) == len(headers)
    assert named.pop("user-agent")
    assert named == {
        "host": f"localhost:{port}",
        "x-key": "v",
        "connection": "close",
        "accept-encoding": "identity",
        "content-length": "6",
    }


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
async def test_a_header_with_a_line_end_never_leaves(client: AsyncBaseTransport, value: str) -> None:
    async with RawUpstream(LENGTH) as upstream:
        request = httpx.Request("POST", upstream.url, headers={"Authorization": f"Bearer {value}"}, content=b"")
        with pytest.raises(httpx.LocalProtocolError) as failure:
            await body_of(client, request)
        assert upstream.requests == []
    assert value not in str(failure.value)


async def test_closing_the_response_closes_the_socket(client: AsyncBaseTransport) -> None:
    async with RawUpstream(*chunked(b"first", last=False), end="hold") as upstream:
        async with open_response(client, post(upstream.url)) as response:
            assert await anext(aiter(response.stream)) == b"first"  # type: ignore[arg-type]
            assert not upstream.left.is_set()
        async with asyncio.timeout(2):
            await upstream.left.wait()


async def test_cancelling_a_request_without_an_answer_closes_the_socket(client: AsyncBaseTransport) -> None:
    async with RawUpstream(end="hold") as upstream:
        waiting = asyncio.create_task(body_of(client, post(upstream.url)))
        await until(lambda: upstream.requests)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with asyncio.timeout(2):
            await upstream.left.wait()


class _Hand:
    """A pace by hand: what is held stays unread until it is let go."""

    def __init__(self) -> None:
        self.held: list[Source] = []

    def hold(self, source: Source) -> bool:
        self.held.append(source)
        return True


async def test_the_pace_says_when_the_body_is_read(client: AsyncBaseTransport) -> None:
    pace = _Hand()
    async with (
        RawUpstream(*chunked(b"first", b"second")) as upstream,
        open_response(client, post(upstream.url, pace=pace)) as response,
    ):
        chunks = aiter(response.stream)  # type: ignore[arg-type]
        reading = asyncio.ensure_future(_all(chunks))
        await asyncio.sleep(0.1)
        assert not reading.done()
        while not reading.done():
            for source in pace.held:
                source.resume()
            pace.held.clear()
            await asyncio.sleep(0.01)
        assert b"".join(await reading) == b"firstsecond"


async def _all(chunks: object) -> list[bytes]:
    return [chunk async for chunk in chunks]  # type: ignore[attr-defined]
