"""A reader that stops reading slows nobody and grows nothing; it is dropped, and resumes by its cursor."""

from __future__ import annotations

import asyncio
import json
import select
import socket as sockets

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.chat_server import ChatServer, server_events
from tests.watched_server import until

SIZE = 5 << 20
GROWTH = 16 << 20
LITTLE = 4096


async def stalled_sse(server: ChatServer, body: bytes) -> tuple[sockets.socket, bytes]:
    """Sends a message over HTTP with a tiny receive buffer, reads one piece, and then nothing."""
    loop = asyncio.get_running_loop()
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, LITTLE)
    connection.setblocking(False)
    await loop.sock_connect(connection, ("127.0.0.1", server.port))
    authorization = (await server.headers())["Authorization"]
    head = (
        f"POST /api/v1/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    await loop.sock_sendall(connection, head.encode() + body)
    return connection, await loop.sock_recv(connection, LITTLE)


async def wait_until_cut(connection: sockets.socket) -> None:
    """The server has let go of the connection, though nobody has read what was sent."""
    hung_up = select.poll()
    hung_up.register(connection, 0)  # a reset is told of in any case
    assert await asyncio.to_thread(hung_up.poll, 20_000), "still connected"


async def last_seq_before_the_close(connection: ClientConnection) -> int:
    """What was in the buffers can still be read; then the socket is closed."""
    seq = 0
    try:
        async with asyncio.timeout(60):
            while True:
                seq = json.loads(await connection.recv()).get("seq", seq)
    except ConnectionClosed:
        return seq


class Growth:
    """The most memory that a server held for longer than a moment: the database's own copies of a row of five mebibytes
    are there for a few hundredths of a second, while it is written."""

    def __init__(self, server: ChatServer) -> None:
        self._server = server
        self._last = 0
        self.most = 0

    def look(self) -> None:
        now = self._server.resident_bytes()
        self.most = max(self.most, min(self._last, now))
        self._last = now


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_five_mebibytes_past_a_stalled_reader(serve, kind) -> None:
    server = await serve(f"bytes-{SIZE}", "tokens-100-40", server=kind, CHAT_STALL_SECONDS="3")
    async with await server.client() as client:
        warm = {"message": "hello", "model": "tokens-100-40"}
        await client.post("/chat", json=warm, headers={"Accept": "application/json"})
        before = server.resident_bytes()
        grown = Growth(server)
        body = json.dumps({"message": "hello", "model": f"bytes-{SIZE}"}).encode()
        connection, head = await stalled_sse(server, body)
        generation = head.lower().split(b"x-generation-id: ", 1)[1].split(b"\r\n", 1)[0].decode()
        other = asyncio.ensure_future(client.post("/chat", json=warm, headers={"Accept": "application/json"}))
        while True:
            grown.look()
            # Not the generation itself: its five mebibytes would be what is measured.
            listed = (await client.get("/conversations")).json()["items"]
            if other.done() and not any(item["running"] for item in listed):
                break
            await asyncio.sleep(0.1)
        assert (await other).json()["generation"]["status"] == "completed"
        assert grown.most - before < GROWTH, f"grew by {(grown.most - before) / (1 << 20):.1f} MiB"
        await wait_until_cut(connection)
        connection.close()
        full = (await client.get(f"/generations/{generation}")).json()["text"]
        assert len(full) == SIZE
        url = f"/generations/{generation}/events"
        async with client.stream("GET", url, params={"after": 1}) as answer:
            text = ""
            async for event in server_events(answer):
                data = json.loads(event.data)
                if event.event == "snapshot":
                    text = data["text"]
                elif not data["isFinal"]:
                    text += data["delta"]
        assert text == full


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_stalled_socket_is_dropped_and_its_client_resumes(serve, kind) -> None:
    settings = {"CHAT_STALL_SECONDS": "2", "CHAT_LOG_BYTES": "16MiB"}
    server = await serve(f"bytes-{SIZE}", "tokens-100-40", server=kind, **settings)
    async with await server.client() as client:
        stalled = await server.socket(max_queue=1)
        await stalled.send(json.dumps({"type": "send", "message": "hello", "model": f"bytes-{SIZE}"}))
        generation = json.loads(await stalled.recv())["generation"]
        stalled.transport.pause_reading()
        record = {}
        for _ in range(200):
            record = (await client.get(f"/generations/{generation}")).json()
            if record["status"] == "completed":
                break
            await asyncio.sleep(0.1)
        assert record["status"] == "completed"
        await until(server, lambda scraped: scraped("chat_readers_dropped_total") == 1)
        stalled.transport.resume_reading()
        assert await last_seq_before_the_close(stalled) < record["seq"]
        async with await server.socket() as again:
            await again.send(json.dumps({"type": "follow", "generation": generation, "after": 1}))
            text, seqs = "", []
            while True:
                frame = json.loads(await again.recv())
                if frame["type"] == "end":
                    break
                seqs.append(frame["seq"])
                if not frame["isFinal"]:
                    text += frame["delta"]
        assert text == record["text"]
        assert seqs == list(range(2, record["seq"] + 1))
