"""HTTP to upstreams: a transport under httpx's interface, on httptools, read by the pace of its request.

One request a connection: a stream lasts for seconds, so that a pool would save little and could hand out dead
connections. Bodies are asked for uncompressed: a relay must not wait in a decompressor.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httptools
import httpx

from chat.providers.base import Pace, Unpaced
from chat.providers.transport import PacedConnection

MAX_HEAD = 64 * 1024
"""Bytes of a response's status line and headers: more is no HTTP server of good will."""

DEFAULT_CONNECT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """Takes the pace from `request.extensions["pace"]`. Raises httpx's own exceptions."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pace: Pace = request.extensions.get("pace") or Unpaced()
        seconds = request.extensions.get("timeout", {}).get("connect") or DEFAULT_CONNECT_SECONDS
        body = await request.aread()
        connection = await self._connect(request, pace, seconds)
        exchange = _Exchange(connection)
        try:
            connection.write(_head(request, len(body)) + body)
            await exchange.read_head()
        except BaseException:
            await connection.aclose()
            raise
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)

    async def _connect(self, request: httpx.Request, pace: Pace, seconds: float) -> PacedConnection:
        url = request.url
        tls = self._tls_context() if url.scheme == "https" else None
        try:
            return await PacedConnection.connect(
                url.host, url.port or _PORTS[url.scheme], tls=tls, pace=pace, timeout=seconds
            )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except OSError as error:
            raise httpx.ConnectError("no connection", request=request) from error

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls


class _Exchange(httpx.AsyncByteStream):
    """One response: its head, then its body as it comes. Also the parser's callbacks."""

    def __init__(self, connection: PacedConnection) -> None:
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._head_size = 0
        self._head_done = False
        self._complete = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def read_head(self) -> None:
        while not self._head_done:
            data = await self._read()
            if not data:
                raise httpx.RemoteProtocolError("the server closed the connection without an answer")
            self._head_size += len(data)
            self._feed(data)
            if not self._head_done and self._head_size > MAX_HEAD:
                raise httpx.RemoteProtocolError("the answer's head is too large")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._body:
                chunk = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body.clear()
                yield chunk
            if self._complete:
                return
            data = await self._read()
            if data:
                self._feed(data)
            elif self._ends_with_connection():
                return
            else:
                raise httpx.ReadError("the server closed the connection in mid-answer")

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _read(self) -> bytes:
        try:
            return await self._connection.read()
        except OSError as error:
            raise httpx.ReadError("the connection died") from error

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise httpx.RemoteProtocolError("the answer is not HTTP") from error

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _value in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._head_done = True
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True


def _head(request: httpx.Request, body_size: int) -> bytes:
    lines = [f"{request.method} {request.url.raw_path.decode('ascii')} HTTP/1.1".encode()]
    for name, value in request.headers.raw:
        if name.lower() not in (b"connection", b"accept-encoding", b"content-length", b"transfer-encoding"):
            lines.append(name + b": " + value)
    lines += [b"Connection: close", b"Accept-Encoding: identity", b"Content-Length: %d" % body_size]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@asynccontextmanager
async def open_response(client: httpx.AsyncClient, request: httpx.Request) -> AsyncIterator[httpx.Response]:
    """Sends the request and gives the response with its body unread; closes the connection at the end."""
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()
