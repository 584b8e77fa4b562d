"""A WebSocket to an upstream: slow handshakes, and what breaks beneath it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from chat.engine.clock import Clock, StreamPace
from chat.providers import websocket
from chat.providers.base import Unpaced
from chat.providers.tls import SessionCache, TlsClient
from chat.providers.transport import TICK_BYTES, ConnectionDied
from chat.providers.websocket import MAX_UNSENT, ProtocolBroken, UpstreamSocket

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upstream(handle: Handle) -> AsyncIterator[int]:
    """Its port. Waits until the client has gone."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
            with suppress(ConnectionError):
                await reader.read()
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
        await asyncio.wait_for(done.wait(), 5)


def accepts(protocol: ServerProtocol, data: bytes) -> bool:
    """Whether this completes the request, which is then answered."""
    protocol.receive_data(data)
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    for request in requests:
        protocol.send_response(protocol.accept(request))
    return bool(requests)


async def test_a_pause_while_the_connection_is_made_does_not_fail_it() -> None:
    async def in_two_packets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        while not accepts(protocol, await reader.read(65536)):
            pass
        answer = b"".join(protocol.data_to_send())
        for packet in (answer[:20], answer[20:]):
            writer.write(packet)
            await asyncio.sleep(0.1)

    pace = StreamPace(Clock())
    pace.paused = True
    async with upstream(in_two_packets) as port:
        socket = await UpstreamSocket.connect(f"ws://127.0.0.1:{port}/", pace=pace, seconds=5)
        await socket.aclose()


PING = Frame(Opcode.PING, b"x" * 125).serialize(mask=False)


async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ServerProtocol:
    """The server's side, after the handshake."""
    protocol = ServerProtocol()
    while not accepts(protocol, await reader.read(65536)):
        pass
    writer.write(b"".join(protocol.data_to_send()))
    return protocol


async def test_who_floods_with_pings_and_reads_no_answer_is_left() -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await opened(reader, writer)
        with suppress(ConnectionError):
            while True:
                writer.write(PING * 100)
                await writer.drain()

    async with upstream(floods) as port:
        socket = await UpstreamSocket.connect(f"ws://127.0.0.1:{port}/", pace=Unpaced(), seconds=5)
        with pytest.raises(ProtocolBroken):
            await asyncio.wait_for(socket.pour(lambda messages: False), 30)
        assert socket._connection.unsent < 2 * MAX_UNSENT + TICK_BYTES
        await socket.aclose()


async def test_pings_while_a_long_question_is_on_its_way_are_no_flood() -> None:
    long = "x" * (16 << 20)

    async def asks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = await opened(reader, writer)
        for _ping in range(10):
            writer.write(PING)
            await asyncio.sleep(0.02)
        received = 0
        while received < len(long):
            received += len(await reader.read(1 << 20))
        protocol.send_text(b"yes")
        writer.write(b"".join(protocol.data_to_send()))

    got: list[bytes] = []

    def take(messages: list[bytes]) -> bool:
        got.extend(messages)
        return True

    async with upstream(asks_first) as port:
        socket = await UpstreamSocket.connect(f"ws://127.0.0.1:{port}/", pace=Unpaced(), seconds=5)
        socket.send(long)
        assert await asyncio.wait_for(socket.pour(take), 30)
        assert got == [b"yes"]
        await socket.aclose()


async def test_fragments_are_kept_by_their_bytes() -> None:
    """Empty ones cost nothing."""

    async def dribbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await opened(reader, writer)
        parts = [Frame(Opcode.TEXT, b"a", fin=False), *[Frame(Opcode.CONT, b"", fin=False)] * 50_000]
        parts += [Frame(Opcode.CONT, b"b", fin=False), Frame(Opcode.CONT, b"", fin=True), Frame(Opcode.TEXT, b"")]
        writer.write(b"".join(part.serialize(mask=False) for part in parts))

    got: list[bytes] = []

    def take(messages: list[bytes]) -> bool:
        got.extend(messages)
        return len(got) == 2

    async with upstream(dribbles) as port:
        socket = await UpstreamSocket.connect(f"ws://127.0.0.1:{port}/", pace=Unpaced(), seconds=5)
        assert await asyncio.wait_for(socket.pour(take), 30)
        assert got == [b"ab", b""]
        await socket.aclose()


async def test_a_broken_record_ends_the_connection_after_what_came_before_it(
    certificate: Path, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received, to_send, protocol = ssl.MemoryBIO(), ssl.MemoryBIO(), ServerProtocol()
        tls = server_tls.wrap_bio(received, to_send, server_side=True)
        shaken = accepted = False
        while not accepted:
            received.write(await reader.read(65536))
            try:
                if not shaken:
                    tls.do_handshake()
                    shaken = True
                accepted = accepts(protocol, tls.read(65536))
            except ssl.SSLWantReadError:
                writer.write(to_send.read())
        protocol.send_text(b"hello")
        for data in protocol.data_to_send():
            tls.write(data)
        good = to_send.read()
        tls.write(b"never seen")
        writer.write(good + broken(to_send.read()))

    monkeypatch.setattr(websocket, "_tls", lambda: SessionCache(trusting(certificate)))
    got: list[bytes] = []

    def take(messages: list[bytes]) -> bool:
        got.extend(messages)
        return False

    async with upstream(breaks) as port:
        socket = await UpstreamSocket.connect(f"wss://localhost:{port}/", pace=Unpaced(), seconds=5)
        with pytest.raises(ConnectionDied):
            await socket.pour(take)
        assert got == [b"hello"]
        await socket.aclose()


def test_what_came_whole_before_a_broken_record_is_given(certificate: Path, server_tls: ssl.SSLContext) -> None:
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_tls.wrap_bio(received, to_send, server_side=True)
    client = TlsClient(SessionCache(trusting(certificate)), "localhost", 443)
    shake_hands(client, server, received, to_send)
    server.write(b"last words")
    good = to_send.read()
    server.write(b"never seen")
    assert client.decrypt(good + broken(to_send.read())) == b"last words"
    assert client.failure is not None
    assert not client.ended


def shake_hands(client: TlsClient, server: Any, received: ssl.MemoryBIO, to_send: ssl.MemoryBIO) -> None:
    client_done, server_done = client.shake_hands(), False
    while not (client_done and server_done):
        received.write(client.outgoing())
        try:
            server.do_handshake()
            server_done = True
        except ssl.SSLWantReadError:
            pass
        if not client_done:
            client_done = client.shake_hands(to_send.read())
    client.decrypt(to_send.read())


def broken(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))
