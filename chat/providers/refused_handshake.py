"""What a server answers that does not want to speak WebSocket: plain HTTP, of which the status says most.

Its body may be long, or without an end: it is read for as long as it is worth, and the status stands either way.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httptools
import httpx

from chat.providers.transport import ConnectionDied, PacedConnection

REFUSAL_BYTES = 4096
"""Kept of the body: enough for the sentence that tells one refusal from another …"""

REFUSAL_SECONDS = 1.0
"""… and how long it is waited for."""

MAX_HEAD = 64 * 1024
"""Bytes of the status line and the headers."""


class HandshakeRefused(Exception):
    """The server answered the upgrade with something else; 0 when that was no HTTP. `headers`, and `body`, cut to
    REFUSAL_BYTES, are to be looked at and not to be shown."""

    def __init__(self, status: int, headers: httpx.Headers | None = None, body: bytes = b"") -> None:
        super().__init__(f"handshake refused with {status}")
        self.status = status
        self.headers = httpx.Headers() if headers is None else headers
        self.body = body


class Refusal:
    """One such answer: its head by `begun`, then `whole`. Also the parser's callbacks."""

    def __init__(self, connection: PacedConnection) -> None:
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._over = False
        self._status = 0

    @classmethod
    async def begun(cls, data: bytes, connection: PacedConnection) -> Refusal:
        """Of an answer that begins with `data`. Raises HandshakeRefused for what is no HTTP, ConnectionDied where it is
        cut."""
        refusal = cls(connection)
        size = len(data)
        refusal._parse(data)
        while not refusal._status:
            if refusal._over or size > MAX_HEAD:
                raise HandshakeRefused(0)
            data = await connection.read()
            if not data:
                raise ConnectionDied("closed during the handshake")
            size += len(data)
            refusal._parse(data)
        return refusal

    async def whole(self) -> HandshakeRefused:
        """With as much of the body as comes in time."""
        with suppress(TimeoutError, ConnectionDied):
            async with asyncio.timeout(REFUSAL_SECONDS):
                while not self._over and len(self._body) < REFUSAL_BYTES and (data := await self._connection.read()):
                    self._parse(data)
        return HandshakeRefused(self._status, httpx.Headers(self._headers), bytes(self._body[:REFUSAL_BYTES]))

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._over = True

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else a trailer
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = self._status or status
        else:
            self._headers.clear()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._over = self._status > 0
