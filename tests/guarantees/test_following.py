"""Readers come and go at random over both transports, and each gets every event exactly once and in order."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
from websockets.asyncio.client import ClientConnection

from tests.chat_server import ChatServer, server_events

GENERATIONS = 500
AT_ONCE = 50
READERS = 2


class Journal:
    """What one reader has seen of one generation, over however many connections."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.text = ""
        self.final: dict[str, object] | None = None

    @property
    def cursor(self) -> int:
        return self.seqs[-1] if self.seqs else 0

    def add(self, seq: int, event: str, data: dict[str, object]) -> None:
        self.seqs.append(seq)
        assert event != "snapshot", "the log holds these generations whole"
        if event == "message" and data["isFinal"]:
            self.final = data
        elif event == "message":
            self.text += str(data["delta"])

    def check(self) -> None:
        assert self.seqs == list(range(1, len(self.seqs) + 1))
        assert self.final is not None
        assert self.final["text"] == self.text


async def read_sse(client: httpx.AsyncClient, generation: str, journal: Journal, events: int) -> None:
    """Follows over SSE until so many events have come, or the end."""
    headers = {"Last-Event-ID": str(journal.cursor)}
    async with client.stream("GET", f"/generations/{generation}/events", headers=headers) as answer:
        assert answer.status_code == 200
        async for event in server_events(answer):
            journal.add(int(event.id), event.event, json.loads(event.data))
            events -= 1
            if not events or journal.final:
                return


async def read_socket(server: ChatServer, generation: str, journal: Journal, events: int) -> None:
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "follow", "generation": generation, "after": journal.cursor}))
        while events and not journal.final:
            frame = json.loads(await socket.recv())
            if frame.get("generation") != generation or "seq" not in frame or frame["type"] == "end":
                continue
            journal.add(frame["seq"], frame["type"], frame)
            events -= 1
        await leave(socket)


async def leave(socket: ClientConnection) -> None:
    """Sometimes with a goodbye, sometimes without."""
    if random.random() < 0.5:
        socket.transport.abort()


async def read_restlessly(server: ChatServer, client: httpx.AsyncClient, generation: str, delay: float) -> Journal:
    """Leaves and returns at random, and changes the transport as it likes."""
    journal = Journal()
    await asyncio.sleep(delay)
    while journal.final is None:
        events = random.choice((1, 2, 5, 1000))
        if random.random() < 0.5:
            await read_sse(client, generation, journal, events)
        else:
            await read_socket(server, generation, journal, events)
        await asyncio.sleep(random.choice((0, 0, 0.1)))
    return journal


async def one_generation(server: ChatServer, client: httpx.AsyncClient, gate: asyncio.Semaphore, number: int) -> None:
    async with gate:
        upstream = "sse" if number % 2 else "websocket"
        send = {"message": f"question {number}", "provider": upstream, "model": random.choice(("tokens-40-40", "echo"))}
        started = await client.post("/chat", json=send, headers={"Prefer": "respond-async"})
        assert started.status_code == 202, started.text
        generation = started.json()["generation"]
        journals = await asyncio.gather(
            *(read_restlessly(server, client, generation, 0) for _ in range(READERS)),
            read_restlessly(server, client, generation, random.choice((0.3, 1.5))),
        )
        record = (await client.get(f"/generations/{generation}")).json()
        assert record["status"] == "completed"
        for journal in journals:
            journal.check()
            assert (journal.text, journal.cursor) == (record["text"], record["seq"])
        if record["model"] == "echo":
            assert record["text"] == f"question {number}"


async def test_every_reader_of_500_generations_gets_every_event_once_and_in_order(serve) -> None:
    server = await serve("tokens-40-40", "echo")
    gate = asyncio.Semaphore(AT_ONCE)
    async with await server.client() as client:
        await asyncio.gather(*(one_generation(server, client, gate, number) for number in range(GENERATIONS)))


async def test_a_cursor_at_the_end_gets_204_and_an_end_frame(serve) -> None:
    server = await serve("tokens-5-0")
    async with await server.client() as client:
        done = await client.post("/chat", json={"message": "hello"}, headers={"Accept": "application/json"})
        generation = done.json()["generation"]
        assert (
            await client.get(f"/generations/{generation['id']}/events", params={"after": generation["seq"]})
        ).status_code == 204
        async with await server.socket() as socket:
            follow = {"type": "follow", "generation": generation["id"], "after": generation["seq"]}
            await socket.send(json.dumps(follow))
            assert json.loads(await socket.recv()) == {
                "type": "end",
                "generation": generation["id"],
                "seq": generation["seq"],
            }


async def test_once_the_log_has_let_go_one_snapshot_stands_for_what_was(serve) -> None:
    server = await serve("tokens-50-0", CHAT_LOG_SECONDS="0")
    async with await server.client() as client:
        done = await client.post("/chat", json={"message": "hello"}, headers={"Accept": "application/json"})
        generation = done.json()["generation"]
        await asyncio.sleep(1)
        for after, kinds in ((0, ["snapshot", "message"]), (generation["seq"] - 1, ["message"])):
            url = f"/generations/{generation['id']}/events"
            async with client.stream("GET", url, params={"after": after}) as answer:
                events = [event async for event in server_events(answer)]
            assert [event.event for event in events] == kinds
            assert int(events[-1].id) == generation["seq"]
            assert json.loads(events[-1].data)["text"] == generation["text"]
            if after == 0:
                snapshot = json.loads(events[0].data)
                assert (snapshot["text"], snapshot["status"]) == (generation["text"], "completed")
                assert int(events[0].id) == generation["seq"] - 1
