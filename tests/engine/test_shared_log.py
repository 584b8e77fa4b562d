"""What a log that several workers share owes them: on one Redis, with TLS and a password, in a Cluster, by Sentinel.

`mine` is the log of the worker that writes, `other` that of another one.
"""

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
from chat.errors import Unavailable
from chat.events import Entry, MessageData, ReasoningData, SnapshotData, encode
from chat.redis.address import parse
from tests.engine.conftest import until
from tests.providers.certificate import certificate
from tests.redis_servers import Group, RedisCluster, RedisSentinels, RedisServer

__all__ = ["certificate"]

pytestmark = pytest.mark.redis

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
        assert [entry.seq for entry in self.entries] == list(range(first, reply.stream.last + 1))


async def test_another_worker_reads_what_comes_and_its_end(mine: RedisLog, other: RedisLog) -> None:
    replies = [Reply(mine) for _ in range(40)]
    for reply in replies:
        reply.say("first ")
    clients = [Client(log, reply.name) for reply in replies for log in (mine, other)]
    for number in range(30):
        for reply in replies:
            reply.say(f"{number} ")
        await asyncio.sleep(0.01)
    for reply in replies:
        reply.end()
    for number, client in enumerate(clients):
        await client.check(replies[number // 2])


async def test_readers_here_get_nothing_before_the_log_has_it(mine: RedisLog, other: RedisLog) -> None:
    reply = Reply(mine)
    reply.say("one")
    assert (reply.stream.last, reply.stream.appended) == (0, 1)
    await mine.settled(reply.stream)
    assert reply.stream.last == 1
    found = await other.find(reply.name)
    assert found is not None
    assert found.last == 1


async def test_a_reader_comes_back_with_its_cursor_to_the_other_worker(mine: RedisLog, other: RedisLog) -> None:
    reply = Reply(mine)
    for number in range(20):
        reply.say(f"{number} ")
    await mine.settled(reply.stream)
    client = Client(other, reply.name, after=12)
    await until(lambda: len(client.entries) == 8)
    reply.end()
    await asyncio.wait_for(client.done, 20)
    assert [entry.seq for entry in client.entries] == list(range(13, 22))


async def test_what_is_not_there_is_not_found(mine: RedisLog, other: RedisLog) -> None:
    assert await other.find("nothing") is None


async def test_an_old_cursor_gets_a_snapshot_and_what_follows_it(mine: RedisLog, other: RedisLog) -> None:
    reply = Reply(mine)
    for number in range(600):
        reply.say(f"{number:050d}")
        if number % 50 == 0:
            await mine.settled(reply.stream)
    await mine.settled(reply.stream)
    assert reply.stream.first > 100
    clients = [Client(other, reply.name), Client(mine, reply.name)]
    await until(lambda: all(client.entries for client in clients))
    reply.say("the last words")
    reply.end()
    for client in clients:
        await asyncio.wait_for(client.done, 20)
        assert client.entries[0].event == "snapshot"
        assert client.text == reply.text
        seqs = [entry.seq for entry in client.entries]
        assert seqs == list(range(seqs[0], reply.stream.last + 1))
    sealed = await other.seal(reply.name, 2)
    assert sealed is not None
    assert (sealed.text, sealed.last, sealed.ended) == (reply.text, reply.stream.last, True)


async def test_who_has_taken_a_generation_fences_off_who_had_it(mine: RedisLog, other: RedisLog) -> None:
    reply = Reply(mine)
    mine.append(reply.stream, "reasoning", encode(ReasoningData("thought")))
    reply.say("before ")
    await mine.settled(reply.stream)
    client = Client(mine, reply.name, after=1)
    await until(lambda: client.text == "before ")
    sealed = await other.seal(reply.name, 2)
    assert sealed is not None
    assert (sealed.text, sealed.reasoning, sealed.last, sealed.ended) == ("before ", "thought", 2, False)
    reply.say("of a zombie")
    await until(lambda: reply.fenced)
    await asyncio.gather(mine.abandon(reply.stream), asyncio.sleep(0.05))
    heir = Reply(other, epoch=2, after=2, name=reply.name)
    heir.text = "before "
    heir.say("after")
    heir.end()
    await client.check(heir, first=2)
    late = Client(mine, reply.name, after=1)
    await late.check(heir, first=2)


async def test_nothing_is_there_to_seal(mine: RedisLog, other: RedisLog) -> None:
    assert await other.seal("nothing-either", 2) is None
    other.discard("nothing-either")


async def test_ended_streams_go_by_themselves_and_live_ones_are_renewed(
    mine: RedisLog, redis: tuple[RedisServer | Group, str]
) -> None:
    live, over = Reply(mine), Reply(mine)
    live.say("on and on")
    over.say("short")
    over.end()
    for reply in (live, over):
        await mine.settled(reply.stream)
    await asyncio.sleep(0.2)
    ages = [await ttl(mine, reply.name) for reply in (live, over)]
    assert 3000 < ages[0] <= 3600
    assert 500 < ages[1] <= 600


async def ttl(log: RedisLog, generation: str) -> int:
    key = log._key(generation)
    link = log._nodes.link(key.slot)
    assert link is not None
    seconds: int = await link.call("TTL", key.stream)
    return seconds


async def test_its_servers_go_and_come_back(
    mine: RedisLog, other: RedisLog, redis: tuple[RedisServer | Group, str]
) -> None:
    servers = redis[0]
    replies = [Reply(mine) for _ in range(30)]
    for reply in replies:
        reply.say("before ")
    clients = [Client(log, reply.name) for reply in replies for log in (mine, other)]
    await until(lambda: all(client.text == "before " for client in clients))

    def interrupt() -> None:
        if isinstance(servers, RedisSentinels):
            servers.fail_over()
        else:
            servers.stop()

    away = asyncio.create_task(asyncio.to_thread(interrupt))
    while not away.done():
        for reply in replies:
            reply.say(".")
        await asyncio.sleep(0.02)
    await away
    if not isinstance(servers, RedisSentinels):
        await until(lambda: not is_open(mine) and not is_open(other))
        for reply in replies:
            reply.say("without ")
        # Who reads here goes on.
        await until(lambda: all(reply.stream.last == reply.stream.appended for reply in replies))
        with pytest.raises(Unavailable):
            await other.find("another")
        await asyncio.to_thread(servers.start)
    await until(lambda: is_open(mine) and is_open(other), 20)
    for reply in replies:
        reply.say("after")
        reply.end()
    for number, client in enumerate(clients):
        await client.check(replies[number // 2])
    if isinstance(servers, RedisSentinels):
        await asyncio.to_thread(servers.replica.start)


def is_open(log: RedisLog) -> bool:
    try:
        log.check_open()
    except Unavailable:
        return False
    return True


async def test_it_opens_without_its_servers_and_finds_them_later(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    log = RedisLog(parse(server.url), interval=lambda: TICK)
    await log.open_connections()
    assert not is_open(log)
    with pytest.raises(Unavailable):
        await log.find("any")
    reply = Reply(log)
    reply.say("already ")
    with server:
        await until(lambda: is_open(log))
        reply.say("said")
        await log.settled(reply.stream)
        sealed = await log.seal(reply.name, 2)
        assert sealed is not None
        assert sealed.text == "already said"
        await log.aclose()


async def test_a_redis_that_has_forgotten_everything_is_told_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        mine, other = (RedisLog(parse(server.url), stream_bytes=STREAM_BYTES, interval=lambda: TICK) for _ in range(2))
        for log in (mine, other):
            await log.open_connections()
        reply, long = Reply(mine), Reply(mine)
        reply.say("before ")
        for number in range(500):
            long.say(f"{number:060d}")
        client = Client(other, reply.name)
        await until(lambda: client.text == "before ")
        await asyncio.to_thread(server.restart)
        await until(lambda: is_open(mine) and is_open(other))
        reply.say("after")
        late = Client(other, long.name)
        await until(lambda: late.text == long.text)
        for one in (reply, long):
            one.end()
        await client.check(reply)
        await asyncio.wait_for(late.done, 20)
        assert late.text == long.text
        for log in (mine, other):
            await log.aclose()


async def test_a_slot_moves_to_another_server_of_the_cluster(tmp_path: Path) -> None:
    with RedisCluster(tmp_path) as cluster:
        mine, other = (RedisLog(parse(cluster.url), interval=lambda: TICK) for _ in range(2))
        for log in (mine, other):
            await log.open_connections()
        replies = [Reply(mine) for _ in range(60)]
        for reply in replies:
            reply.say("before ")
        clients = [Client(other, reply.name) for reply in replies]
        await until(lambda: all(client.text for client in clients))
        slots = {mine._key(reply.name).slot for reply in replies[:5]}
        moving = asyncio.create_task(asyncio.to_thread(move, cluster, slots))
        while not moving.done():
            for reply in replies:
                reply.say(".")
            await asyncio.sleep(0.02)
        await moving
        for reply in replies:
            reply.say(" after")
            reply.end()
        for client, reply in zip(clients, replies, strict=True):
            await client.check(reply)
        for log in (mine, other):
            await log.aclose()


def move(cluster: RedisCluster, slots: set[int]) -> None:
    for slot in slots:
        cluster.move_slot(slot, (cluster.nodes.index(cluster.owner(slot)) + 1) % len(cluster.nodes))
