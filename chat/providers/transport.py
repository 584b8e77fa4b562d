"""A TCP or TLS connection to an upstream, read when its pace says so.

Reading is where a relay's time goes: a socket that is read once a tick, with all that has come, costs a fraction of one
that is read token by token. So after each read the connection stops reading and hands itself to its `Pace`, which
resumes it at the next tick; before the first token, the pace lets it run.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from chat.providers.base import Pace

UNREAD_LIMIT = 1 << 20
"""Bytes a connection may hold unread (1 MiB): a paused generation then leaves the rest in the kernel."""

FULL_READ = 64 * 1024
"""A read of so many bytes has likely left more behind: the connection is read on within the same tick …"""

TICK_BYTES = 256 * 1024
"""… up to so many, five megabytes a second, so that one flood leaves the loop to the others."""


class ConnectionDied(OSError):
    """The connection was reset, or the machine beyond it is gone."""


class PacedConnection(asyncio.Protocol):
    """One connection. Use `connect`, then `write`, `read` until it returns b"", and `aclose`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._failure: Exception | None = None
        self._ended = False
        self._overfull = False
        self._budget = TICK_BYTES

    @classmethod
    async def connect(
        cls, host: str, port: int, *, tls: ssl.SSLContext | None, pace: Pace, timeout: float
    ) -> PacedConnection:
        """Raises TimeoutError after `timeout` seconds, OSError (ssl.SSLError is one) when it is refused."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            _, connection = await loop.create_connection(
                lambda: cls(pace), host, port, ssl=tls, server_hostname=host if tls else None
            )
        return connection

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def read(self) -> bytes:
        """All that has come, or b"" at the end; raises ConnectionDied when there was no orderly end."""
        while not self._chunks:
            if self._failure is not None:
                raise ConnectionDied("the connection died") from self._failure
            if self._ended:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._overfull:
            self._overfull = False
            self.resume()
        return data

    async def aclose(self) -> None:
        """Closes at once, unsent bytes dropped, and waits until the socket is closed."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.shield(self._lost)

    def resume(self) -> None:
        """Called by the pace: read again."""
        if self._unread >= UNREAD_LIMIT:
            self._overfull = True
        elif self._transport is not None and not self._transport.is_closing():
            self._budget = TICK_BYTES
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: uvloop's transports only look like asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._unread += len(data)
        self._budget -= len(data)
        assert self._transport is not None
        if (len(data) < FULL_READ or self._budget <= 0) and self._pace.hold(self):
            self._transport.pause_reading()
        elif self._unread >= UNREAD_LIMIT:
            self._overfull = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._failure = exc
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
