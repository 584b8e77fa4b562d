"""An upstream of plain bytes: it plays what it is given, however wrong, and notes how its client behaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Literal

import httpx
from httpx import AsyncBaseTransport

from chat.providers.http import open_response

End = Literal["close", "reset", "hold"]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
"""A body without a length: the end of the connection is its end."""


class RawUpstream:
    """Answers each connection with `pieces`, each in a packet of its own, then ends as told."""

    def __init__(
        self, *pieces: bytes, end: End = "close", tls: ssl.SSLContext | None = None, wait_for_request: bool = True
    ) -> None:
        self._pieces: Sequence[bytes] = pieces
        self._end = end
        self._tls = tls
        self._wait_for_request = wait_for_request
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.resumed: list[bool] = []
        """Of each connection over TLS: whether it resumed an earlier session."""
        self.left = asyncio.Event()

    async def __aenter__(self) -> RawUpstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/v1"

    def request(self) -> httpx.Request:
        return httpx.Request("POST", self.url, content=b"{}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._tls is not None:
            self.resumed.append(writer.get_extra_info("ssl_object").session_reused)
        try:
            if self._wait_for_request:
                self.requests.append(await _request(reader))
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if self._end == "reset":
                await asyncio.sleep(0.02)
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            elif self._end == "hold":
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            self.left.set()
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def chunked(*pieces: bytes, last: bool = True) -> tuple[bytes, ...]:
    """An answer in chunks, one for each piece; without the `last`, it breaks off."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = tuple(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return (head, *chunks, b"0\r\n\r\n") if last else (head, *chunks)


async def body_of(client: AsyncBaseTransport, request: httpx.Request, received: bytearray | None = None) -> bytes:
    """The body; a buffer handed in keeps what came before a failure."""
    received = bytearray() if received is None else received
    async with open_response(client, request) as response:
        async for chunk in response.stream:  # type: ignore[union-attr]
            received += chunk
    return bytes(received)
