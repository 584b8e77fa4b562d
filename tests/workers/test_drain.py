"""What SIGTERM does to a worker's replies, to those who read them there, and to those who read other workers' there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.chat_server import ChatServer, server_events
from tests.workers.conftest import Follower
from tests.workers.test_across_workers import record_of, start_reply, until, words

pytestmark = pytest.mark.redis

SERVERS = ["uvicorn", "daphne"]
DRAIN_SECONDS = 3
EXIT_SECONDS = 20.0
"""Until a drained process is gone at the latest: the drain, the readers' last second or two, and a slow machine."""
GIVEN_UP_SECONDS = 60.0
RESTARTING = 1012
"""How a worker that goes closes a WebSocket."""
SHORT, LONG, FOREIGN = "tokens-30-15", "tokens-3000-15", "tokens-100-15"
"""The first ends within the drain, the second does not; the third is another worker's, and outlasts it."""


class SocketReader:
    """Follows one generation on one WebSocket until it ends, or that closes."""

    def __init__(self, worker: ChatServer, generation: str) -> None:
        self._worker = worker
        self.generation = generation
        self.text = ""
        self.seqs: list[int] = []
        self.terminals: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.following = asyncio.Event()

    async def follow(self) -> None:
        async with await self._worker.socket() as socket:
            await socket.send(json.dumps({"type": "follow", "generation": self.generation, "after": 0}))
            try:
                while not self.terminals:
                    self._take(json.loads(await socket.recv()))
            except ConnectionClosed:
                self.close_code = socket.close_code

    def _take(self, frame: dict[str, Any]) -> None:
        if "seq" not in frame:
            return
        self.following.set()
        self.seqs.append(frame["seq"])
        if frame["type"] == "error" or frame.get("isFinal"):
            self.terminals.append(frame)
        elif frame["type"] == "message":
            self.text += frame["delta"]


async def read_one_answer(worker: ChatServer, generation: str, begun: asyncio.Event) -> list[Any]:
    """The events of one answer, which must end properly: httpx raises where it breaks off."""
    async with await worker.client() as client, client.stream("GET", f"/generations/{generation}/events") as answer:
        events = []
        async for event in server_events(answer):
            events.append(event)
            begun.set()
        return events


def terminate(worker: ChatServer) -> None:
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)


async def until_gone(worker: ChatServer, terminated: float) -> None:
    async def is_gone() -> bool:
        return worker.process.poll() is not None

    await until(is_gone, terminated + EXIT_SECONDS - time.monotonic())
    assert worker.process.returncode in (0, -signal.SIGTERM), worker.log()


async def until_draining(worker: ChatServer) -> None:
    async with httpx.AsyncClient() as client:

        async def says_so() -> bool:
            answer = await client.get(f"{worker.url}/readyz")
            return answer.status_code == 503 and answer.json()["checks"]["draining"]

        await until(says_so)
        assert (await client.get(f"{worker.url}/healthz")).status_code == 200


class Watched:
    """Replies of one worker that end within its drain, and others that do not, each read over both transports at each
    of `workers`."""

    def __init__(self, workers: list[ChatServer]) -> None:
        self._workers = workers
        self.short: list[str] = []
        self.long: list[str] = []
        self._followers: list[Follower] = []
        self._sockets: list[SocketReader] = []

    async def start(self, owner: ChatServer, follower: Callable[..., Any]) -> None:
        for upstream in ("sse", "websocket"):
            self.long.append(await start_reply(owner, LONG, upstream))
            self.short.append(await start_reply(owner, SHORT, upstream))
        for generation in self.long + self.short:
            self._followers += [await follower(generation, worker) for worker in self._workers]
            self._sockets += [SocketReader(worker, generation) for worker in self._workers]

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Within it all are read; it is left once each has been told its end."""
        async with asyncio.timeout(GIVEN_UP_SECONDS), asyncio.TaskGroup() as reading:
            for reader in (*self._followers, *self._sockets):
                reading.create_task(reader.follow())
            await asyncio.gather(*(reader.following.wait() for reader in self._sockets))
            yield reading

    async def message_of(self, worker: ChatServer) -> str:
        """The answer to which the first reply belongs."""
        message: str = (await record_of(worker, self.long[0]))["message"]
        return message

    async def have_ended(self, worker: ChatServer) -> None:
        """As they should, and as their readers were told; `worker` is asked."""
        records = {generation: await record_of(worker, generation) for generation in self.long + self.short}
        for generation in self.long:
            record = records[generation]
            assert (record["status"], record["error"]["code"]) == ("interrupted", "INTERRUPTED")
            assert words(3000)[: len(record["text"])] == record["text"] != ""
        for generation in self.short:
            assert (records[generation]["status"], records[generation]["text"]) == ("completed", words(30))
        for reader in self._followers:
            record = records[reader.generation]
            assert (reader.faults, reader.connections) == ([], 1), "each reader could stay to the end"
            assert (reader.text, reader.cursor) == (record["text"], record["seq"])
        for reader in self._sockets:
            record = records[reader.generation]
            assert (reader.text, reader.seqs) == (record["text"], list(range(1, record["seq"] + 1)))


async def drained(worker: ChatServer, message: str) -> None:
    """Ends the worker by SIGTERM, which refuses new work while it lasts and closes a socket that follows nothing."""
    async with await worker.socket() as idle:
        terminate(worker)
        terminated = time.monotonic()
        await until_draining(worker)
        await refused_everywhere(worker, idle, message)
        await asyncio.wait_for(idle.wait_closed(), EXIT_SECONDS)
        assert idle.close_code == RESTARTING
        await until_gone(worker, terminated)


async def refused_everywhere(worker: ChatServer, socket: Any, message: str) -> None:
    """New work of every kind, while the worker drains; what is there can be read."""
    async with await worker.client() as client:
        for path, body in (("/chat", {"message": "too late"}), (f"/messages/{message}/regenerate", {})):
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "UNAVAILABLE"), path
            assert int(refused.headers["retry-after"]) > 0
        assert (await client.get("/conversations")).status_code == 200
    await socket.send(json.dumps({"type": "send", "ref": "late", "message": "too late"}))
    while (frame := json.loads(await socket.recv()))["type"] == "conversation":
        pass
    assert (frame["type"], frame["ref"], frame["code"]) == ("refused", "late", "UNAVAILABLE")


@pytest.mark.parametrize("server", SERVERS)
async def test_replies_may_end_and_what_remains_is_told_to_every_reader(site, follower, server) -> None:
    """Of a server that has only its own memory for a log."""
    await site.start(SHORT, LONG, server=server, workers=1, CHAT_DRAIN_SECONDS=str(DRAIN_SECONDS), REDIS_URL="")
    [worker] = site.workers
    own = Watched(site.workers)
    await own.start(worker, follower)
    async with own.read():
        await drained(worker, await own.message_of(worker))
    await worker.start()
    await own.have_ended(worker)


@pytest.mark.parametrize("server", SERVERS)
async def test_readers_of_other_workers_replies_are_sent_away_cleanly_and_go_on_elsewhere(
    site, follower, server
) -> None:
    await site.start(SHORT, LONG, FOREIGN, server=server, CHAT_DRAIN_SECONDS=str(DRAIN_SECONDS))
    one, two = site.workers
    own = Watched(site.workers)
    await own.start(one, follower)
    foreign = await start_reply(two, FOREIGN)
    goes_on, sent_away, begun = await follower(foreign, one, two), SocketReader(one, foreign), asyncio.Event()
    async with own.read() as reading:
        answer = reading.create_task(read_one_answer(one, foreign, begun))
        for reader in (goes_on, sent_away):
            reading.create_task(reader.follow())
        await asyncio.gather(begun.wait(), sent_away.following.wait())
        await drained(one, await own.message_of(one))
    await own.have_ended(two)
    record = await record_of(two, foreign)
    assert (record["status"], record["text"]) == ("completed", words(100)), "it was not the drained worker's to end"
    assert goes_on.faults == []
    assert goes_on.connections > 1
    assert (goes_on.text, goes_on.cursor) == (record["text"], record["seq"])
    for seqs in (sent_away.seqs, [int(event.id) for event in answer.result() if event.id]):
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) < record["seq"]
    assert (sent_away.terminals, sent_away.close_code) == ([], RESTARTING)


@pytest.mark.parametrize("server", SERVERS)
async def test_readers_that_come_back_at_once_do_not_keep_the_process(site, server) -> None:
    """A client that reads another worker's reply here, is sent away, and does not wait before it comes back."""
    await site.start("tokens-3000-15", server=server, CHAT_DRAIN_SECONDS="1")
    one, two = site.workers
    generation = await start_reply(two, "tokens-3000-15")
    away = 0

    async def insist(client: httpx.AsyncClient) -> None:
        nonlocal away
        while True:
            try:
                async with client.stream("GET", f"/generations/{generation}/events") as answer:
                    async for _ in answer.aiter_raw():
                        pass
            except httpx.TransportError:
                if one.process.poll() is not None:
                    away += 1
                    return
                await asyncio.sleep(0.01)

    async with await one.client() as client, asyncio.TaskGroup() as reading:
        for _ in range(20):
            reading.create_task(insist(client))
        await asyncio.sleep(1)
        terminate(one)
        await until_gone(one, time.monotonic())
    assert away == 20
    assert (await record_of(two, generation))["status"] == "streaming"
