"""A TCP or TLS connection to an upstream, read when its pace says so.

Reading is where a relay's time goes: a socket that is read once a tick, with all that has come, costs a fraction of one
that is read token by token. So after each read the connection stops reading and hands itself to its `Pace`, which
resumes it at the next tick; before the first token, the pace lets it run. A resumed connection reads its socket itself,
at once: only where nothing has come, the event loop is asked to look out for it.

What is read goes straight into a sink, within the read: no task wakes for a token.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import cast

from chat.providers.base import Pace
from chat.providers.tls import SessionCache, TlsClient

UNREAD_LIMIT = 1 << 20
"""Bytes a connection may hold unread (1 MiB): a paused generation then leaves the rest in the kernel."""

FULL_READ = 64 * 1024
"""A read of so many bytes has likely left more behind: the connection is read on within the same tick …"""

TICK_BYTES = 256 * 1024
"""… up to so many, five megabytes a second, so that one flood leaves the loop to the others."""


_BUFFER = bytearray(FULL_READ)
_VIEW = memoryview(_BUFFER)
_INTO = (_BUFFER,)
"""Every read goes through one buffer: an allocation of the whole size for each would cost more than the copy."""


class ConnectionDied(OSError):
    """The connection was reset, or the machine beyond it is gone."""


Sink = Callable[[bytes], bool]
"""Takes what was read; True when it has had all that it wants. What it raises ends the reading."""


class PacedConnection(asyncio.Protocol):
    """One connection. Use `connect`, then `write`; `read` until it returns b"", or `pour`; and `aclose`."""

    def __init__(self, pace: Pace, tls: TlsClient | None = None) -> None:
        self._pace = pace
        self._tls = tls
        self._secure = False
        self.paced = False
        """Not before the handshakes are done: a pause in their middle would have them fail."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._reading = True
        self._chunks: list[bytes] = []
        self._unread = 0
        self._waiter: asyncio.Future[bool] | None = None
        self._sink: Sink | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._failure: Exception | None = None
        self._ended = False
        self._overfull = False
        self._budget = TICK_BYTES

    @classmethod
    async def connect(
        cls, host: str, port: int, *, tls: SessionCache | None, pace: Pace, timeout: float
    ) -> PacedConnection:
        """Raises TimeoutError after `timeout` seconds, OSError (ssl.SSLError is one) when it is refused."""
        loop = asyncio.get_running_loop()
        client = None if tls is None else TlsClient(tls, host, port)
        async with asyncio.timeout(timeout):
            _, connection = await loop.create_connection(lambda: cls(pace, client), host, port)
            if client is not None:
                await connection._shake_hands(client)
        connection.paced = True
        return connection

    def write(self, data: bytes) -> None:
        """Raises ConnectionDied; what is written to a connection that has died goes nowhere."""
        assert self._transport is not None
        if self._failure is not None:
            return
        if self._tls is None:
            self._transport.write(data)
            return
        try:
            self._tls.encrypt(data)
        except ssl.SSLError as error:
            self._failure = error.with_traceback(None)
            raise ConnectionDied("the connection died") from error
        self._transport.write(self._tls.outgoing())

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the kernel has not taken."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    async def read(self) -> bytes:
        """All that has come, or b"" at the end; raises ConnectionDied when there was no orderly end."""
        while not self._chunks:
            if self._at_end():
                return b""
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._overfull:
            self._overfull = False
            self.resume()
        return data

    async def pour(self, sink: Sink) -> bool:
        """Gives the sink all that comes, as it comes. Returns True when the sink has had enough, False at the
        connection's end; raises what the sink raised, or ConnectionDied when there was no orderly end."""
        while self._chunks:
            if sink(await self.read()):
                return True
        if self._at_end():
            return False
        self._sink = sink
        try:
            return await self._wait()
        finally:
            self._sink = None

    async def aclose(self) -> None:
        """Closes at once, unsent bytes dropped, and waits until the socket is closed."""
        if self._transport is not None:
            self._fd = -1
            if self._tls is not None and self._secure and not self._transport.is_closing():
                self._tls.say_goodbye()
                self._transport.write(self._tls.outgoing())
            self._transport.abort()
            await asyncio.shield(self._lost)

    def resume(self) -> None:
        """Called by the pace: read again."""
        if self._unread >= UNREAD_LIMIT:
            self._overfull = True
            return
        if self._transport is None or self._transport.is_closing():
            return
        self._budget = TICK_BYTES
        if self._reading:
            self._read_on_arrival()
        else:
            self._read_now()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: uvloop's transports only look like asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._fd = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fd = -1
        self._ended = True
        self._failure = self._failure or exc
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()

    # Internal

    def _take(self, data: bytes) -> bool:
        """Whether to read on now."""
        size = len(data)
        self._budget -= size
        if self._secure:
            data = self._decrypt(data)
        self._unread += len(data)
        if not data:
            pass  # half a record, or none of ours
        elif self._sink is None:
            self._chunks.append(data)
            self._wake()
        else:
            self._pour(data, self._sink)
        if self._tls is not None and (self._tls.ended or self._tls.failure is not None):
            # Only now: what came before it has been handed out.
            self._failure = self._failure or self._tls.failure
            self.eof_received()
        if self.paced and (size < FULL_READ or self._budget <= 0) and self._pace.hold(self):
            self._stop_reading()
            return False
        if self._unread >= UNREAD_LIMIT:
            self._overfull = True
            self._stop_reading()
            return False
        return True

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        assert self._transport is not None
        data = self._tls.decrypt(data)
        if answer := self._tls.outgoing():
            self._transport.write(answer)
        return data

    async def _shake_hands(self, tls: TlsClient) -> None:
        """Raises ssl.SSLError, ConnectionDied."""
        assert self._transport is not None
        try:
            done = tls.shake_hands()
            while not done:
                self._transport.write(tls.outgoing())
                data = await self.read()
                if not data:
                    raise ConnectionDied("closed during the TLS handshake")
                done = tls.shake_hands(data)
            self._secure = True
            self._transport.write(tls.outgoing())
            if early := self._decrypt(b""):  # what came with the last of the handshake
                self._chunks.append(early)
        except BaseException:
            if alert := tls.outgoing():
                self._transport.write(alert)
            await self.aclose()
            raise

    def _pour(self, data: bytes, sink: Sink) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._chunks.append(data)  # whoever poured has had enough, or is gone
            return
        self._unread = 0
        try:
            enough = sink(data)
        except Exception as error:
            waiter.set_exception(error)
        else:
            if enough:
                waiter.set_result(True)

    def _read_now(self) -> None:
        """Reads the socket itself, which the event loop has left alone since the last read."""
        while not self._reading and self._fd >= 0:
            try:
                size = os.readv(self._fd, _INTO)
            except BlockingIOError:
                self._read_on_arrival()
                return
            except OSError as error:
                # The socket has told its error, and will tell the event loop of an orderly end only.
                self._failure = error.with_traceback(None)  # whose frames hold this connection
                self._read_on_arrival()
                return
            if not size:
                self._read_on_arrival()
                return
            if not self._take(bytes(_VIEW[:size])):
                return

    def _read_on_arrival(self) -> None:
        assert self._transport is not None
        self._reading = True
        self._transport.resume_reading()

    def _stop_reading(self) -> None:
        if self._reading:
            assert self._transport is not None
            self._reading = False
            self._transport.pause_reading()

    def _at_end(self) -> bool:
        if self._failure is not None:
            raise ConnectionDied("the connection died") from self._failure
        return self._ended

    async def _wait(self) -> bool:
        """Until something has come, or, pouring, until it is over: True when the sink has had enough."""
        self._waiter = self._loop.create_future()
        try:
            enough = await self._waiter
        finally:
            self._waiter = None
        if self._sink is not None and not enough:
            self._at_end()
        return enough

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)
