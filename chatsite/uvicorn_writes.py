"""Shorter ways to uvicorn's connections for what a stream sends over and over; anything else goes uvicorn's own way.

uvicorn passes each frame of a WebSocket through the objects of its library, and looks at every part of a response again
as if it were the first: that costs a token more than parsing it did. And it lets a connection that is to be closed wait
for a client that takes nothing, for as long as that likes: such a connection is cut.

These are uvicorn's inner parts, of the pinned version: what is not exactly them is left alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

Send = Callable[[dict[str, Any]], Awaitable[None]]

FINAL_TEXT = b"\x81"

RESET_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time."""


def cut_unfinished(send: Send) -> None:
    """The application has returned: where it left a response unfinished, its client is not waited for."""
    if type(send) is _ResponseWrites:
        send.cut_unfinished()


def shortened(send: Send) -> Send:
    """The same callable where there is no shorter way."""
    owner = getattr(send, "__self__", None)
    if type(owner) is RequestResponseCycle:
        return _ResponseWrites(owner)
    if type(owner) is WebSocketsSansIOProtocol and not owner.config.ws_per_message_deflate:
        return _SocketWrites(owner)
    return send


class _Gathered(list[bytes]):
    """In a transport's place."""

    write = list.append


class _ResponseWrites:
    """The head of a response with the first part of its body, if that comes at once; and the parts of a chunked one
    between its first and its last."""

    __slots__ = ("_cycle", "_head")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._head = b""

    async def __call__(self, message: dict[str, Any]) -> None:
        cycle = self._cycle
        body = message.get("body")
        if message["type"] == "http.response.start" and not (cycle.disconnected or cycle.flow.write_paused):
            await self._hold_head(message)
        elif (
            body
            and message.get("more_body")
            and cycle.chunked_encoding
            and cycle.response_started
            and not cycle.response_complete
            and not cycle.disconnected
            and not cycle.flow.write_paused
            and cycle.scope["method"] != "HEAD"
        ):
            head, self._head = self._head, b""
            cycle.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
        else:
            self._write_head()
            await cycle.send(message)  # type: ignore[arg-type]

    async def _hold_head(self, message: dict[str, Any]) -> None:
        """Until the loop's next round, at most: each write is a packet, and wakes the client."""
        cycle, transport, head = self._cycle, self._cycle.transport, _Gathered()
        cycle.transport = head  # type: ignore[assignment]
        try:
            await cycle.send(message)  # type: ignore[arg-type]
        finally:
            cycle.transport = transport
        self._head = b"".join(head)
        asyncio.get_running_loop().call_soon(self._write_head)

    def _write_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self._cycle.disconnected:
            self._cycle.transport.write(head)

    def cut_unfinished(self) -> None:
        self._write_head()
        cycle, transport = self._cycle, self._cycle.transport
        if cycle.response_complete or cycle.disconnected or not transport.get_write_buffer_size():
            return
        cycle.disconnected = True
        # Reset, or the system would go on offering what nobody takes.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        transport.abort()


class _SocketWrites:
    """Text on an open WebSocket."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._protocol = protocol

    async def __call__(self, message: dict[str, Any]) -> None:
        protocol = self._protocol
        text = message.get("text")
        if not protocol.writable.is_set():
            if message["type"] == "websocket.close":
                protocol.transport.abort()
                return
        elif (
            text is not None
            and protocol.conn.state is State.OPEN
            and protocol.handshake_complete
            and not protocol.close_sent
            and not protocol.disconnected
        ):
            protocol.transport.write(_frame(text.encode()))
            # After the write, not only before the next one: a frame of megabytes may be the last.
            if not protocol.writable.is_set():
                await protocol.writable.wait()
            return
        await protocol.send(message)  # type: ignore[arg-type]


def _frame(payload: bytes) -> bytes:
    """RFC 6455, 5.2: a whole text message, from a server unmasked."""
    size = len(payload)
    if size < 126:
        return b"%b%c%b" % (FINAL_TEXT, size, payload)
    if size < 1 << 16:
        return b"%b\x7e%b%b" % (FINAL_TEXT, size.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (FINAL_TEXT, size.to_bytes(8, "big"), payload)
