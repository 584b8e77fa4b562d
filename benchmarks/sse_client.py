"""One event stream as a raw protocol: a request out, the answer's events into a receipt."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from benchmarks.receipt import Receipt


class SseClient(asyncio.Protocol):
    """Also httptools' callbacks. `done` is set once, whatever happens."""

    def __init__(self, request: bytes, receipt: Receipt) -> None:
        self._request = request
        self._receipt = receipt
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self._complete = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:  # whatever the answer holds: this stream has failed, the others go on
            self._receipt.fail(f"unreadable: {error!r}")
            self._transport.close()
        if self._complete:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._complete:
            self._receipt.fail("the connection broke")
        if not self.done.done():
            self.done.set_result(None)

    def on_body(self, data: bytes) -> None:
        if self._parser.get_status_code() != 200:
            self._receipt.fail(f"status {self._parser.get_status_code()}: {data[:200]!r}")
            return
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    self._receipt.take(line[6:])

    def on_message_complete(self) -> None:
        self._complete = True
        self._receipt.closed()


def request(host: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = {
        "Host": host,
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Content-Length": str(len(body)),
        **headers,
    }
    return _head("POST", path, lines) + body


def question(host: str, path: str, headers: dict[str, str]) -> bytes:
    """A GET."""
    return _head("GET", path, {"Host": host, "Accept": "text/event-stream", **headers})


def _head(method: str, path: str, lines: dict[str, str]) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode()
