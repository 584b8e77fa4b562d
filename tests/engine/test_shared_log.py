"""What a log that several workers share owes them: on one Redis, with TLS and a password, in a Cluster, by Sentinel.

`mine` is the log of the worker that writes, `other` that of another one.
"""

from __future__ import annotations

import asyncio

import pytest

from chat.engine.redis_log import RedisLog
from chat.events import ReasoningData, encode
from tests.engine.conftest import until
from tests.engine.shared_logs import Client, Reply, certificate, logs, mine, other, redis
from tests.redis_servers import Group, RedisServer

__all__ = ["certificate", "logs", "mine", "other", "redis"]

pytestmark = pytest.mark.redis


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
        assert seqs == list(range(seqs[0], reply.stream.appended + 1))
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


async def test_a_log_that_is_thrown_away_still_fences(mine: RedisLog, other: RedisLog) -> None:
    reply = Reply(mine)
    reply.say("before")
    await mine.settled(reply.stream)
    assert await other.seal(reply.name, 2) is not None
    other.discard(reply.name, 2)
    reply.say("of a zombie")
    await until(lambda: reply.fenced)
    assert reply.stream.last == 1


async def test_an_end_that_comes_too_late_is_nobodys(mine: RedisLog, other: RedisLog) -> None:
    """Its producer has gone already: whoever reads here goes on with what the other worker says."""
    reply = Reply(mine)
    reply.say("before ")
    await mine.settled(reply.stream)
    client = Client(mine, reply.name)
    await until(lambda: client.text == "before ")
    assert await other.seal(reply.name, 2) is not None
    reply.end()
    heir = Reply(other, epoch=2, after=1, name=reply.name)
    heir.text = "before "
    heir.say("after")
    heir.end()
    await client.check(heir)


async def test_nothing_is_there_to_seal(mine: RedisLog, other: RedisLog) -> None:
    assert await other.seal("nothing-either", 2) is None
    other.discard("nothing-either", 2)


async def test_ended_streams_go_by_themselves_and_live_ones_are_renewed(
    mine: RedisLog, redis: tuple[RedisServer | Group, str]
) -> None:
    live, over = Reply(mine), Reply(mine)
    live.say("on and on")
    over.say("short")
    over.end()
    for reply in (live, over):
        await mine.settled(reply.stream)
    for _look in range(100):
        ages = [await ttl(mine, reply.name) for reply in (live, over)]
        if ages[0] > 0:
            break
        await asyncio.sleep(0.05)
    assert 3000 < ages[0] <= 3600
    assert 500 < ages[1] <= 600


async def ttl(log: RedisLog, generation: str) -> int:
    key = log._key(generation)
    link = log._nodes.link(key.slot)
    assert link is not None
    seconds: int = await link.call("TTL", key.stream)
    return seconds
