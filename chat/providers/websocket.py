"""An upstream's WebSocket: websockets' sans-I/O protocol over a connection that is read by its pace."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from chat.providers.base import Pace
from chat.providers.refused_handshake import HandshakeRefused, Refusal
from chat.providers.tls import SessionCache
from chat.providers.transport import ConnectionDied, PacedConnection

# The library would write each request's address at DEBUG, and a signed address is a credential.
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.INFO)

MAX_MESSAGE = 16 << 20
"""Bytes of one message (16 MiB), its fragments together: far above any frame of a reply, and a bound."""

MAX_UNSENT = 64 * 1024
"""Bytes of answers to pings that may wait for who doesn't read them."""

_UPGRADED = b"HTTP/1.1 101"


class ProtocolBroken(Exception):
    """What came is not of the protocol, or larger than the limit."""


@functools.cache
def _tls() -> SessionCache:
    # Loading the certificates takes tens of milliseconds: once a process.
    return SessionCache(httpx.create_ssl_context())


class UpstreamSocket:
    """`connect`, `send`, `pour`, `aclose`. `close_code` tells what kind of end it was."""

    def __init__(self, protocol: ClientProtocol, connection: PacedConnection) -> None:
        self._protocol = protocol
        self._connection = connection
        self._unended = bytearray()
        self._pongs = 0
        self._broken = False

    @classmethod
    async def connect(
        cls, url: str, *, pace: Pace, seconds: float, headers: Mapping[str, str] = MappingProxyType({})
    ) -> UpstreamSocket:
        """Opens the connection and the WebSocket on it within `seconds`. `headers`: of the handshake, besides its own.
        Raises TimeoutError, OSError, HandshakeRefused."""
        target = urlsplit(url)
        secure = target.scheme == "wss"
        async with asyncio.timeout(seconds):
            connection = await PacedConnection.connect(
                target.hostname or "",
                target.port or (443 if secure else 80),
                tls=_tls() if secure else None,
                pace=pace,
                timeout=seconds,
            )
            socket = cls(ClientProtocol(parse_uri(url), max_size=MAX_MESSAGE, logger=_quiet), connection)
            connection.paced = False
            try:
                refusal = await socket._shake_hands(headers)
            except BaseException:
                await connection.aclose()
                raise
        if refusal is not None:
            try:
                raise await refusal.whole()
            finally:
                await connection.aclose()
        connection.paced = True
        return socket

    @property
    def close_code(self) -> int | None:
        """The code of the server's close frame (RFC 6455, 7.4), once there is one; 1005 for a frame without a code."""
        close = self._protocol.close_rcvd
        return None if close is None else int(close.code)

    def send(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._flush()

    async def pour(self, take: Callable[[list[bytes]], bool]) -> bool:
        """Gives `take` the text messages that come with each read, undecoded, within the read. Returns True when it
        has had enough, False when the server has closed. Raises what `take` raises, ConnectionDied, ProtocolBroken."""
        enough = False

        def pass_on() -> bool:
            """True when nothing more is to be read."""
            nonlocal enough
            messages = self._messages()
            if messages and take(messages):
                enough = True
                return True
            # Only now: what came before the breach has been handed out.
            if self._broken or (self._protocol.parser_exc is not None and self._protocol.close_rcvd is None):
                raise ProtocolBroken
            return self._protocol.close_rcvd is not None

        def parse(data: bytes) -> bool:
            self._protocol.receive_data(data)
            flooded = self._answer_pings()
            if pass_on():
                return True
            if flooded:
                raise ProtocolBroken
            return False

        if not pass_on() and not await self._connection.pour(parse):
            raise ConnectionDied("closed without a close frame")
        return enough

    async def aclose(self) -> None:
        """Says goodbye where it can, and waits until the socket is closed."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
                self._flush()
        except ConnectionDied:
            pass  # nobody hears it
        finally:
            await self._connection.aclose()

    async def _shake_hands(self, headers: Mapping[str, str]) -> Refusal | None:
        """The beginning of an answer that is no upgrade. The library would wait for the whole of one, and know nothing
        of a long one."""
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._flush()
        begin = b""
        while self._protocol.state is State.CONNECTING:
            data = await self._connection.read()
            begin += data
            if len(begin) >= len(_UPGRADED):
                if not begin.startswith(_UPGRADED):
                    return await Refusal.begun(begin, self._connection)
                begin = _UPGRADED
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            error = self._protocol.handshake_exc
            if not data or (error is not None and isinstance(error.__cause__, EOFError)):
                raise ConnectionDied("closed during the handshake")
            if error is not None:
                raise HandshakeRefused(0)
        return None

    def _messages(self) -> list[bytes]:
        messages: list[bytes] = []
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                continue
            if not isinstance(event, Frame) or event.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
                continue
            if event.opcode is Opcode.BINARY:
                self._broken = True  # what came before it is still handed out
                break
            if event.fin and not self._unended:
                messages.append(bytes(event.data))
                continue
            self._unended += event.data
            if event.fin:
                messages.append(bytes(self._unended))
                self._unended.clear()
        return messages

    def _answer_pings(self) -> bool:
        """Whether the answers pile up. The question may still be on its way: it doesn't count."""
        self._pongs += self._flush()
        return min(self._pongs, self._connection.unsent) > MAX_UNSENT

    def _flush(self) -> int:
        """How many bytes there were to send."""
        size = 0
        for data in self._protocol.data_to_send():
            if data:
                self._connection.write(data)
                size += len(data)
        return size
