"""Two workers' logs over the same Redis, generations that say what they are told to, and clients that follow them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat.engine.log import EventLog
from chat.engine.reader import Reader
from chat.engine.redis_log import RedisLog
from chat.engine.stream import Stream
from chat.events import Entry, MessageData, SnapshotData, encode
from chat.redis.address import parse
from tests.providers.certificate import certificate
from tests.redis_servers import Group, RedisCluster, RedisSentinels, RedisServer

__all__ = ["certificate"]

STREAM_BYTES = 20_000
TICK = 0.01


@pytest.fixture(scope="module", params=["single", "tls", "cluster", "sentinel"])
def redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RedisServer | Group, str]]:
    """The servers, and their address as REDIS_URL has it."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    servers: RedisServer | Group
    query = ""
    match request.param:
        case "single":
            servers = RedisServer(directory, appendonly=True)
        case "tls":
            path = request.getfixturevalue("certificate")
            servers = RedisServer(directory, password="secret", tls=(path, path), appendonly=True)
            query = f"?ssl_ca_certs={path}"
        case "cluster":
            servers = RedisCluster(directory)
        case _:
            servers = RedisSentinels(directory)
    with servers:
        yield servers, servers.url + query


@pytest.fixture
async def logs(redis: tuple[RedisServer | Group, str]) -> AsyncIterator[list[RedisLog]]:
    logs = [RedisLog(parse(redis[1]), stream_bytes=STREAM_BYTES, interval=lambda: TICK) for _ in range(2)]
    for log in logs:
        await log.open_connections()
        log.check_open()
    sweeping = asyncio.create_task(sweep(logs))
    yield logs
    sweeping.cancel()
    for log in logs:
        await log.aclose()


async def sweep(logs: list[RedisLog]) -> None:
    while True:
        await asyncio.sleep(0.05)
        for log in logs:
            log.sweep(asyncio.get_running_loop().time())


@pytest.fixture
def mine(logs: list[RedisLog]) -> RedisLog:
    return logs[0]


@pytest.fixture
def other(logs: list[RedisLog]) -> RedisLog:
    return logs[1]


_numbers = iter(range(10_000))


class Reply:
    """A generation that says what it is told to."""

    def __init__(self, log: EventLog, *, epoch: int = 1, after: int = 0, name: str | None = None) -> None:
        self.name = name or f"generation-{next(_numbers)}"
        self.log = log
        self.text = ""
        self.fenced = False
        self.stream: Stream = log.open(self.name, self.snapshot, epoch=epoch, after=after, fenced=self.fence)

    def snapshot(self, seq: int) -> Entry:
        return Entry(seq, "snapshot", encode(SnapshotData(self.text, "", "streaming")))

    def fence(self) -> None:
        self.fenced = True

    def say(self, text: str) -> None:
        self.text += text
        self.log.append(self.stream, "message", encode(MessageData(text)))

    def end(self) -> None:
        self.log.append(self.stream, "message", encode(MessageData("", isFinal=True)))
        self.log.end(self.stream)


class Client:
    """Follows one generation in one log, on and on."""

    def __init__(self, log: EventLog, generation: str, after: int = 0) -> None:
        self.entries: list[Entry] = []
        self.reader = Reader(lambda: None)
        self.done = asyncio.create_task(self._read(log, generation, after))

    async def _read(self, log: EventLog, generation: str, after: int) -> None:
        stream = None
        while stream is None:
            stream = await log.find(generation, after)
        if stream.holds_all_after(after):
            self.reader.follow(stream, after, [], replay=False)
        else:
            assert stream.snapshot is not None
            snapshot = stream.snapshot(stream.appended)
            self.reader.follow(stream, snapshot.seq, [snapshot], replay=False)
        while True:
            for delivery in await self.reader.read():
                self.entries += delivery.entries
                if delivery.last:
                    self.reader.close()
                    return

    @property
    def text(self) -> str:
        text = ""
        for entry in self.entries:
            data = json.loads(entry.data)
            text = data["text"] if entry.event == "snapshot" else text + data["delta"]
        return text

    async def check(self, reply: Reply, first: int = 1) -> None:
        """It has got everything, once and in order."""
        await asyncio.wait_for(self.done, 20)
        assert self.text == reply.text
        assert [entry.seq for entry in self.entries] == list(range(first, reply.stream.appended + 1))
