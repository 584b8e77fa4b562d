"""HTTP to upstreams: a transport under httpx's interface, on httptools, read by the pace of its request.

One request a connection: a stream lasts for seconds, so that a pool would save little and could hand out dead
connections. Bodies are asked for uncompressed: a relay must not wait in a decompressor.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

import httptools
import httpx

from chat.providers.base import Pace, Unpaced
from chat.providers.tls import SessionCache
from chat.providers.transport import ConnectionDied, PacedConnection

MAX_HEAD = 64 * 1024
"""Bytes of a response's status line and headers, and of framing without content in its body: more is no HTTP server
of good will."""

DEFAULT_CONNECT_SECONDS = 5.0
USER_AGENT = b"chatsite"
"""Gateways refuse requests without one."""

_PORTS = {"http": 80, "https": 443}
_OWN_HEADERS = frozenset({b"connection", b"accept-encoding", b"content-length", b"transfer-encoding"})


class NoAnswer(httpx.RemoteProtocolError):
    """The server closed the connection before the first byte of its answer."""


class CutShort(httpx.RemoteProtocolError):
    """The server closed the connection in mid-answer."""


_HTTPX: Mapping[type[Exception], tuple[type[httpx.TransportError], str]] = {
    TimeoutError: (httpx.ConnectTimeout, "no connection in time"),
    ConnectionDied: (httpx.ReadError, "the connection died"),
    httptools.HttpParserError: (httpx.RemoteProtocolError, "the answer is not HTTP"),
    httptools.HttpParserUpgrade: (httpx.RemoteProtocolError, "the server wants another protocol"),
    OSError: (httpx.ConnectError, "no connection"),  # refused, unknown host, a TLS handshake that failed
    UnicodeError: (httpx.ConnectError, "no such host"),  # a name that DNS cannot hold
}
"""What the lower layers raise, and what it is to httpx; the first match counts."""


def _as_httpx(error: Exception) -> httpx.TransportError:
    for kind, (exception, words) in _HTTPX.items():
        if isinstance(error, kind):
            return exception(words)
    raise error


_READS_NOTHING = httptools.HttpResponseParser(object())


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """Takes the pace from `request.extensions["pace"]` and the seconds to connect from
    `request.extensions["timeout"]["connect"]`; waits for the answer as long as the caller does.

    Raises httpx's exceptions: ConnectTimeout, ConnectError, ReadError for a reset, RemoteProtocolError for what is not
    HTTP (NoAnswer and CutShort where the server closed too early), LocalProtocolError, UnsupportedProtocol.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = None if tls is None else SessionCache(tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pace: Pace = request.extensions.get("pace") or Unpaced()
        seconds = request.extensions.get("timeout", {}).get("connect") or DEFAULT_CONNECT_SECONDS
        body = await request.aread()
        head = _head(request, len(body))
        connection = await self._connect(request.url, pace, seconds)
        exchange = _Exchange(connection)
        try:
            connection.write(head + body)
            await exchange.read_head()
        except BaseException:
            await connection.aclose()
            raise
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)

    async def _connect(self, url: httpx.URL, pace: Pace, seconds: float) -> PacedConnection:
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https")
        tls = self._sessions() if url.scheme == "https" else None
        port = url.port or _PORTS[url.scheme]
        try:
            return await PacedConnection.connect(url.host, port, tls=tls, pace=pace, timeout=seconds)
        except (OSError, UnicodeError) as error:
            raise _as_httpx(error) from error

    def _sessions(self) -> SessionCache:
        if self._tls is None:
            self._tls = SessionCache(httpx.create_ssl_context())
        return self._tls


class _Exchange(httpx.AsyncByteStream):
    """One response: its head, then its body as it comes. Also the parser's callbacks."""

    def __init__(self, connection: PacedConnection) -> None:
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._take: Callable[[bytes], bool] = _take_nothing
        self._framing = 0
        self._head_done = False
        self._complete = False
        self._failure: httpx.TransportError | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def read_head(self) -> None:
        while not self._head_done:
            if self._failure is not None:
                raise self._failure
            if not await self._feed():
                raise CutShort("half a head") if self._framing else NoAnswer("no answer")

    # An object rather than a generator: a generator that is left in the middle would be closed by a task of its own.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._body:
            if self._complete:
                raise StopAsyncIteration
            # Only now: what came whole before a failure has been handed out.
            if self._failure is not None:
                raise self._failure
            if not await self._feed():
                if self._ends_with_connection():
                    raise StopAsyncIteration
                raise CutShort("the server closed the connection in mid-answer")
        chunk = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return chunk

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Gives `take` the body as it comes, within the reads, until it returns True or the body is at its end. Raises
        what `take` raises, and httpx's exceptions."""
        self._take = take
        if self._pass_on():
            return
        try:
            enough = await self._connection.pour(self._parse)
        except ConnectionDied as error:
            raise _as_httpx(error) from error
        if not enough and not self._ends_with_connection():
            raise CutShort("the server closed the connection in mid-answer")

    async def aclose(self) -> None:
        await self._connection.aclose()
        # The parser holds this, which holds the parser; and this holds, by whoever takes, all of a reply.
        self._parser, self._take = _READS_NOTHING, _take_nothing

    def _pass_on(self) -> bool:
        """What has been parsed goes to `take`; True when there is nothing more to come. A failure comes after it."""
        if self._body:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
            if self._take(body):
                return True
        if self._complete:
            return True
        if self._failure is not None:
            raise self._failure
        return False

    def _parse(self, data: bytes) -> bool:
        self._feed_parser(data)
        if len(self._body) == 1 and not self._complete and self._failure is None:
            return self._take(self._body.pop())
        return self._pass_on()

    async def _feed(self) -> bool:
        """Parses what has come; False at the connection's end."""
        try:
            data = await self._connection.read()
        except ConnectionDied as error:
            raise _as_httpx(error) from error
        if not data:
            return False
        self._feed_parser(data)
        return True

    def _feed_parser(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._failure = _as_httpx(error)
        if self._body:
            self._framing = 0
        else:
            self._framing += len(data)
            if self._framing > MAX_HEAD and not self._complete:
                self._failure = httpx.RemoteProtocolError("a head or a chunk's frame without end")

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _value in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # else a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_done:
            return  # a second answer, that nobody asked for
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._head_done = True
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True


def _take_nothing(body: bytes) -> bool:
    raise AssertionError("nobody has asked for the body")


def _head(request: httpx.Request, body_size: int) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _OWN_HEADERS]
    if "user-agent" not in request.headers:
        headers.append((b"User-Agent", USER_AGENT))
    headers += [
        (b"Connection", b"close"),
        (b"Accept-Encoding", b"identity"),
        (b"Content-Length", b"%d" % body_size),
    ]
    lines += [name + b": " + value for name, value in headers]
    head = b"\r\n".join(lines)
    # A line end inside a header, say in a key that was pasted with one, would make two headers of it.
    ends = len(lines) - 1
    if head.count(b"\r") != ends or head.count(b"\n") != ends or b"\0" in head:
        raise httpx.LocalProtocolError("a header of the request holds a line end")
    return head + b"\r\n\r\n"


@asynccontextmanager
async def open_response(http: httpx.AsyncBaseTransport, request: httpx.Request) -> AsyncIterator[httpx.Response]:
    """Sends the request and gives the response with its body unread; closes the connection at the end.

    Through the transport itself: httpx's client adds redirects, cookies and a layer around the body, which an upstream
    AI has no use for, and which cost half a millisecond a request and a microsecond a token."""
    response = await http.handle_async_request(request)
    try:
        yield response
    finally:
        await response.aclose()


async def pour(response: httpx.Response, take: Callable[[bytes], bool]) -> None:
    """Gives `take` the body as it comes, undecoded, until it returns True or the body is at its end: within the reads
    where the transport is ours, else by httpx's interface. Raises what `take` raises, and httpx's exceptions."""
    stream = response.stream
    if isinstance(stream, _Exchange):
        await stream.pour(take)
        return
    assert isinstance(stream, httpx.AsyncByteStream)
    async for chunk in stream:
        if take(chunk):
            return
