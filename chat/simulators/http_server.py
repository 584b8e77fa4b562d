"""A small HTTP/1.1 server for simulated upstreams: one request a connection, one task a request.

It notices at once that a client has left, also while nothing is being sent; then the request's task is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import httptools
import msgspec

from chat.simulators.base import ConnectionRecord

MAX_HEAD = 64 * 1024
MAX_BODY = 32 << 20
"""Bytes: a request with pictures in Base64 passes."""

BACKLOG = 1024
"""Connections that may wait to be accepted: load tests open hundreds at once."""

logger = logging.getLogger(__name__)


class Request(NamedTuple):
    """`headers` by their names in lower case; `query` as it stands behind the path."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Answer:
    """One answer in the making: `json` alone, or `begin_stream`, any number of `chunk`, and `end`."""

    def __init__(self, transport: asyncio.Transport, record: ConnectionRecord) -> None:
        self.record = record
        self._transport = transport
        self._writable = asyncio.Event()
        self._writable.set()

    def json(self, status: int, value: Any, headers: str = "") -> None:
        self.body(status, msgspec.json.encode(value), headers)

    def body(self, status: int, body: bytes, headers: str = "", *, size: int | None = None) -> None:
        """`size`: the length to announce, where it is not the body's."""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body) if size is None else size}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def begin_stream(self, content_type: bytes = b"text/event-stream; charset=utf-8") -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nCache-Control: no-cache\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % content_type
        )

    def chunk(self, data: bytes) -> None:
        if not self._transport.is_closing():  # else asyncio warns of each piece that nobody will read
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self._transport.write(b"0\r\n\r\n")

    async def drain(self) -> None:
        """Waits while the client reads too slowly."""
        if not self._writable.is_set():
            await self._writable.wait()

    def reset(self) -> None:
        """Ends the connection as a crashed machine does: by RST, not by FIN."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def set_writable(self, writable: bool) -> None:
        if writable:
            self._writable.set()
        else:
            self._writable.clear()


Handler = Callable[[Request, Answer], Coroutine[Any, Any, None]]


class HttpServer:
    """Serves `handle` and keeps a record of each connection in `records`."""

    def __init__(self, handle: Handler, records: deque[ConnectionRecord]) -> None:
        self.handle = handle
        self.records = records
        self.open: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None, "the server has not been started"
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=BACKLOG)

    async def aclose(self) -> None:
        if self._server is None:
            return
        self._server.close()
        connections = list(self.open)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.closed() for connection in connections))
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._record = ConnectionRecord()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._size = 0
        self._limit = MAX_HEAD
        self._task: asyncio.Task[None] | None = None

    def abort(self) -> None:
        self._transport.abort()

    async def closed(self) -> None:
        """Returns when the socket is closed and the request's task has ended."""
        await self._lost
        if self._task is not None:
            await asyncio.wait([self._task])

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance: uvloop's transports derive from nothing of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._answer = Answer(self._transport, self._record)
        self._server.open.add(self)
        self._server.records.append(self._record)

    def data_received(self, data: bytes) -> None:
        if self._task is not None or self._transport.is_closing():
            return  # one request a connection: whatever follows it is not read
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, "bad_request")
            return
        if self._task is None and self._size > self._limit:
            self._refuse(413, "too_large")

    def eof_received(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        self._answer.set_writable(False)

    def resume_writing(self) -> None:
        self._answer.set_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._record.closed = time.monotonic()
        if self._task is not None:
            self._task.cancel()
        self._server.open.discard(self)
        self._lost.set_result(None)

    # httptools

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin1").lower()] = value.decode("latin1")

    def on_headers_complete(self) -> None:
        self._limit = MAX_HEAD + MAX_BODY
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._task is None:
            path, _mark, query = self._path.decode("latin1").partition("?")
            request = Request(self._parser.get_method().decode("latin1"), path, query, self._headers, bytes(self._body))
            self._body.clear()
            self._task = asyncio.get_running_loop().create_task(self._server.handle(request, self._answer))
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a simulated upstream failed", exc_info=error)
            self._transport.abort()
        self._transport.close()

    def _refuse(self, status: int, code: str) -> None:
        self._answer.json(status, {"error": {"message": "not understood", "type": code, "param": None, "code": code}})
        self._transport.close()
