"""One reply over a WebSocket as a raw protocol: the handshake, one frame out, the frames that follow into a receipt."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import cast

from benchmarks.receipt import Receipt

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FINAL = 0x80
NORMAL_CLOSURE = b"\x03\xe8"


class WebSocketClient(asyncio.Protocol):
    """Closes after the reply's last event; `done` is set once, whatever happens."""

    def __init__(self, handshake: bytes, message: bytes, receipt: Receipt) -> None:
        self._handshake = handshake
        self._message = message
        self._receipt = receipt
        self._rest = b""
        self._open = False
        self._closing = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        try:
            if self._open or self._opened():
                self._read_frames()
        except Exception as error:  # whatever the server sends: this stream has failed, the others go on
            self._receipt.fail(f"unreadable: {error!r}")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._receipt.fail("the connection broke")
        if not self.done.done():
            self.done.set_result(None)

    def _opened(self) -> bool:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            return False
        status = head.split(b" ", 2)[1]
        if status != b"101":
            raise ValueError(f"status {status.decode()}")
        self._open, self._rest = True, rest
        self._transport.write(frame(TEXT, self._message))
        return True

    def _read_frames(self) -> None:
        data, at = self._rest, 0
        while len(data) - at >= 2:
            size, start = data[at + 1] & 127, at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                if len(data) < start + width:
                    break
                size = int.from_bytes(data[start : start + width], "big")
                start += width
            if len(data) < start + size:
                break
            self._frame(data[at], data[start : start + size])
            at = start + size
        self._rest = data[at:]

    def _frame(self, first: int, payload: bytes) -> None:
        if not first & FINAL:
            raise ValueError("a message in pieces")
        match first & 15:
            case 1:
                self._receipt.take(payload)
                if self._receipt.final and not self._closing:
                    self._closing = True
                    self._transport.write(frame(CLOSE, NORMAL_CLOSURE))
            case 8:
                if not self._closing:
                    self._receipt.fail(f"closed with {int.from_bytes(payload[:2], 'big')}")
                    self._closing = True
                self._receipt.closed()
                self._transport.close()
            case 9:
                self._transport.write(frame(PONG, payload))


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame: masked. Payloads here are small."""
    mask = os.urandom(4)
    size = len(payload)
    sized = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([FINAL | opcode]) + sized + mask + bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


def handshake(host: str, path: str, headers: dict[str, str]) -> bytes:
    lines = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
