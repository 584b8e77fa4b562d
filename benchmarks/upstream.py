"""An AI that costs next to nothing: an OpenAI-compatible event stream whose tokens say when they were sent.

    python -m benchmarks.upstream PORT [CERTIFICATE KEY]

With a certificate and its key it speaks TLS.

Each token's text is `t<unix micros> `, rising strictly within a stream, so that a client sees loss, repetition,
disorder and delay in the text alone.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import ssl
import sys
import time
from typing import cast

import uvloop

from benchmarks.model_name import Plan, plan_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
STAMP_DIGITS = 16
BURST = 100
"""Tokens of an unpaced stream that are written in one turn of the loop."""


class Metronome:
    """One timer for all streams: whatever is due goes out in one turn, and each stream keeps its own beat."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Connection]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._count = 0

    def at(self, when: float, connection: Connection) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, connection))
        self._plan()

    def _plan(self) -> None:
        when = self._due[0][0]
        if self._timer is not None:
            if self._next <= when:
                return
            self._timer.cancel()
        self._next = when
        self._timer = asyncio.get_running_loop().call_at(when, self._beat)

    def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        due = self._due
        while due and due[0][0] <= now:
            when, _count, connection = due[0]
            following = connection.token_due(when)
            if following is None:
                heapq.heappop(due)
            else:
                self._count += 1
                heapq.heapreplace(due, (following, self._count, connection))
        self._timer = None
        if due:
            self._plan()


class Connection(asyncio.Protocol):
    """Answers one request after the other, each with a stream."""

    def __init__(self, metronome: Metronome) -> None:
        self._metronome = metronome
        self._received = b""
        self._left = 0
        self._last_stamp = 0
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases

    def connection_lost(self, exc: Exception | None) -> None:
        self._left = 0

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._left and not self._plan.rate:
            self._burst()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._received = b""
        try:
            self._plan, self._chunk = _read_request(body)
        except (ValueError, KeyError):
            self._transport.write(REFUSAL)
            self._transport.close()
            return
        self._start()

    def _start(self) -> None:
        self._left = self._plan.tokens
        self._before, self._after = _framed(self._chunk, b'{"content":"t', b' "}')
        self._transport.write(HEAD + _whole(self._chunk, b'{"role":"assistant","content":""}', b"null"))
        loop = asyncio.get_running_loop()
        if self._plan.rate:
            self._metronome.at(loop.time() + self._plan.held_seconds, self)
        elif self._plan.held_seconds:
            loop.call_later(self._plan.held_seconds, self._burst)
        else:
            self._burst()

    def token_due(self, when: float) -> float | None:
        """Sends a token; returns when the next one is due, or None where none is."""
        if self._left == 0:
            return None
        self._transport.write(self._token())
        self._left -= 1
        if self._left:
            return when + 1 / self._plan.rate
        self._end()
        return None

    def _burst(self) -> None:
        if not self._writable or not self._left:
            return
        count = min(BURST, self._left)
        self._transport.write(b"".join([self._token() for _ in range(count)]))
        self._left -= count
        if self._left:
            asyncio.get_running_loop().call_soon(self._burst)
        else:
            self._end()

    def _token(self) -> bytes:
        self._last_stamp = max(time.time_ns() // 1000, self._last_stamp + 1)
        return b"%s%d%s" % (self._before, self._last_stamp, self._after)

    def _end(self) -> None:
        tokens = self._plan.tokens
        usage = b'"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":%d,"total_tokens":%d}}' % (
            tokens,
            tokens + 10,
        )
        last_words = (
            _whole(self._chunk, b"{}", b'"stop"')
            + _chunked(b"data: " + self._chunk + usage + b"\n\n")
            + _chunked(b"data: [DONE]\n\n")
        )
        self._transport.write(last_words + b"0\r\n\r\n")


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _read_request(body: bytes) -> tuple[Plan, bytes]:
    """The plan, and how every chunk of the answer begins."""
    name = json.loads(body)["model"]
    chunk = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": name,
        "system_fingerprint": "fp_mock",
    }
    return plan_of(name), json.dumps(chunk, separators=(",", ":")).encode()[:-1] + b","


def _whole(chunk: bytes, delta: bytes, finish: bytes) -> bytes:
    choice = b'"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}' % (delta, finish)
    return _chunked(b"data: " + chunk + choice + b"\n\n")


def _framed(chunk: bytes, before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind a token's stamp, with the chunked encoding around it: only the stamp changes."""
    whole = _whole(chunk, before + b"\0" * STAMP_DIGITS + after, b"null")
    head, _stamp, tail = whole.partition(b"\0" * STAMP_DIGITS)
    return head, tail


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(port: int, certificate: list[str]) -> None:
    """`certificate`: the files of the certificate and of its key, or nothing."""
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate)
    metronome = Metronome()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(metronome), "127.0.0.1", port, backlog=4096, ssl=tls)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2:]))
