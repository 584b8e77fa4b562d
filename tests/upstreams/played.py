"""A captured upstream that is played over a real socket: byte for byte what it is given, and ended as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from tests.upstreams.capture import Capture, Refusal, Route

End = Literal["orderly", "short", "reset", "hold"]
"""`orderly`: as the protocol ends a body or a connection; `short`: the connection is closed before that."""

Reads = Literal["whole", "frames", "bytes"]
"""What comes in a read of its own."""

_TURNS = 3
"""Of the event loop, until a client in the same loop has read what was written."""


class Sent(NamedTuple):
    """A request as it came. `headers` by their names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def content(self) -> Any:
        """What the body says: a form's fields, or else JSON."""
        if self.headers.get("content-type") == "application/x-www-form-urlencoded":
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))
        return json.loads(self.body)


@dataclass(frozen=True)
class Play:
    """What is answered. `wire`: bytes, or frames that are still to be put on the wire where `framed` says so.
    `chunked`: over HTTP, the body says where it ends; else the end of the connection does."""

    wire: Sequence[bytes] = ()
    end: End = "orderly"
    reads: Reads = "frames"
    chunked: bool = True
    framed: bool = True
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None

    def pieces(self, frame: Callable[[bytes], bytes]) -> list[bytes]:
        wire = [frame(each) for each in self.wire] if self.framed else list(self.wire)
        if self.reads == "frames":
            return wire
        whole = b"".join(wire)
        return [whole] if self.reads == "whole" else [whole[at : at + 1] for at in range(len(whole))]


class PlayedUpstream(ABC):
    """As a context. `play` is what the next requests are answered with. Counted are the connections, those that stand
    (`open`), and the requests on them."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.play = Play()
        self.sent: list[Sent] = []
        """The requests for the stream itself."""
        self.connections = 0
        self.requests = 0
        self.open = 0
        self.written = asyncio.Event()
        """All of `play` has been written."""

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    async def __aenter__(self) -> PlayedUpstream: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    def refuse(self, refusal: Refusal) -> None:
        """Answers with this in place of a stream."""

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.connections += 1
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


async def _write(transport: Any, pieces: Sequence[bytes]) -> None:
    """Each in a read of the client's own."""
    for piece in pieces:
        transport.write(piece)
        for _turn in range(_TURNS):
            await asyncio.sleep(0)


def _reset(transport: Any) -> None:
    """By RST, as a crashed machine does."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class PlayedHttp(PlayedUpstream):
    async def __aenter__(self) -> PlayedHttp:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self.capture.base_path}"

    def refuse(self, refusal: Refusal) -> None:
        self.play = Play([refusal.body.encode()], status=refusal.status, headers=refusal.headers,
                         content_type="application/json")  # fmt: skip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with self._counted():
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await _request(reader)
        self.requests += 1
        if (route := self._route(sent.path)) is not None:
            await self._say(writer, Play([route.json.encode()], status=route.status, content_type="application/json"))
            return
        self.sent.append(sent)
        play = self.play
        await self._say(writer, play)
        self.written.set()
        if play.end == "reset":
            _reset(writer.transport)
        elif play.end == "orderly" and not play.chunked:
            writer.write_eof()
        if play.end in ("hold", "orderly"):
            while await reader.read(65536):  # the client is the one that closes
                pass

    def _route(self, path: str) -> Route | None:
        return next((route for route in self.capture.routes if route.path == path), None)

    async def _say(self, writer: asyncio.StreamWriter, play: Play) -> None:
        head, pieces = self._head(play), play.pieces(_chunk if play.chunked else bytes)
        if play.chunked and play.end == "orderly":
            pieces.append(b"0\r\n\r\n")
        elif play.chunked and play.end == "short":
            pieces.append(b"40\r\n: half a chunk")
        if play.reads == "whole":
            head, pieces = head + b"".join(pieces), []
        await _write(writer.transport, [head, *pieces])

    def _head(self, play: Play) -> bytes:
        lines = [
            f"HTTP/1.1 {play.status} {HTTPStatus(play.status).phrase}",
            f"Content-Type: {play.content_type or self.capture.stream.content_type}",
            *(f"{name}: {value}" for name, value in play.headers.items()),
            "Transfer-Encoding: chunked" if play.chunked else "Connection: close",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _request(reader: asyncio.StreamReader) -> Sent:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Sent(*_target(first.split(" ")[1]), headers, body)


def _target(address: str) -> tuple[str, dict[str, str]]:
    target = urlsplit(address)
    return target.path, dict(parse_qsl(target.query, keep_blank_values=True))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class PlayedSocket(PlayedUpstream):
    """A WebSocket server that is asked by one message; what it answers goes out as it is, past its own framing."""

    async def __aenter__(self) -> PlayedSocket:
        self._refusal: Refusal | None = None
        logger = logging.getLogger("tests.upstreams.played.frames")
        logger.setLevel(logging.CRITICAL)
        self._server: Server = await serve(
            self._answer, "127.0.0.1", 0, process_request=self._check, compression=None, close_timeout=1, logger=logger
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}{self.capture.base_path}"

    def refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        if (refusal := self._refusal) is None:
            return None
        self.sent.append(Sent(*_target(request.path), {}, b""))
        self.connections += 1  # which the server closes
        self.requests += 1
        body = refusal.body.encode()
        headers = Headers({**refusal.headers, "Content-Length": str(len(body)), "Connection": "close"})
        return Response(refusal.status, HTTPStatus(refusal.status).phrase, headers, body)

    async def _answer(self, connection: ServerConnection) -> None:
        with self._counted(), contextlib.suppress(ConnectionClosed):
            question = await connection.recv()
            self.requests += 1
            assert connection.request is not None
            headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
            asked = question.encode() if isinstance(question, str) else question
            self.sent.append(Sent(*_target(connection.request.path), headers, asked))
            await self._say(connection, self.play)
            await connection.wait_closed()  # the client is the one that closes, if it was not told to

    async def _say(self, connection: ServerConnection, play: Play) -> None:
        leaving = asyncio.create_task(connection.wait_closed())
        writing = asyncio.create_task(_write(connection.transport, play.pieces(message)))
        await asyncio.wait([leaving, writing], return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, writing):
            task.cancel()
        await asyncio.gather(leaving, writing, return_exceptions=True)
        self.written.set()
        if play.end == "reset":
            _reset(connection.transport)
        elif play.end == "short":
            connection.transport.close()
        elif play.end == "orderly":
            await connection.close(1000)


def message(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    """One message, or a part of it, as a server puts it on the wire."""
    return Frame(opcode, data, fin).serialize(mask=False)


def upstream_of(capture: Capture) -> PlayedUpstream:
    return PlayedSocket(capture) if capture.is_socket else PlayedHttp(capture)
