"""Redis goes, comes back, forgets, moves what it has, takes nothing, hangs: no event is lost, and none comes twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from chat.engine.redis_log import RedisLog
from chat.errors import Unavailable
from chat.redis.address import parse
from tests.engine.conftest import until
from tests.engine.shared_logs import STREAM_BYTES, TICK, Client, Reply, certificate, logs, mine, other, redis, sweep
from tests.redis_servers import Group, RedisCluster, RedisSentinels, RedisServer

__all__ = ["certificate", "logs", "mine", "other", "redis"]

pytestmark = pytest.mark.redis


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


async def test_a_redis_that_takes_nothing_more_is_told_all_when_it_does_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        mine, other = (RedisLog(parse(server.url), interval=lambda: TICK) for _ in range(2))
        for log in (mine, other):
            await log.open_connections()
        sweeping = asyncio.create_task(sweep([mine, other]))
        replies = [Reply(mine) for _ in range(20)]
        for reply in replies:
            reply.say("before ")
        clients = [Client(log, reply.name) for reply in replies for log in (mine, other)]
        await until(lambda: all(client.text for client in clients))
        with server.client() as client:
            client.config_set("maxmemory", 1)
            for number in range(20):
                for reply in replies:
                    reply.say(f"{number} ")
                await asyncio.sleep(0.02)
            await until(lambda: all(reply.stream.last == 21 for reply in replies))
            sent = client.info("stats")["total_net_input_bytes"]
            await asyncio.sleep(0.5)
            assert client.info("stats")["total_net_input_bytes"] - sent < 100_000, "it is left in peace"
            client.config_set("maxmemory", 0)
        for reply in replies:
            reply.say("after")
            reply.end()
        for number, reader in enumerate(clients):
            await reader.check(replies[number // 2])
        sweeping.cancel()
        for log in (mine, other):
            await log.aclose()


async def test_the_end_of_a_process_does_not_wait_for_a_redis_that_hangs(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        log = RedisLog(parse(server.url))
        await log.open_connections()
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        Reply(log).say("never taken")
        await asyncio.sleep(0.05)
        await asyncio.wait_for(log.aclose(), 10)


async def test_without_a_lease_nothing_is_said_that_redis_does_not_have(tmp_path: Path) -> None:
    """Cut off from everything, a worker cannot know whether others have its replies."""
    leased = True
    with RedisServer(tmp_path) as server:
        log = RedisLog(parse(server.url), interval=lambda: TICK, may_speak=lambda: leased)
        await log.open_connections()
        sweeping = asyncio.create_task(sweep([log]))
        reply = Reply(log)
        reply.say("before ")
        await log.settled(reply.stream)
        leased = False
        await asyncio.to_thread(server.stop)
        reply.say("cut off ")
        await asyncio.sleep(0.3)
        assert (reply.stream.last, reply.stream.appended) == (1, 2)
        leased = True
        await until(lambda: reply.stream.last == 2)
        sweeping.cancel()
        await log.aclose()


async def test_a_reply_with_nothing_to_say_does_not_disturb_the_others(tmp_path: Path) -> None:
    with RedisServer(tmp_path, appendonly=True) as server:
        mine, other = (RedisLog(parse(server.url), interval=lambda: TICK) for _ in range(2))
        for log in (mine, other):
            await log.open_connections()
        idle, talking = Reply(mine), Reply(mine)
        idle.say("and then silence")
        talking.say("before ")
        for reply in (idle, talking):
            await mine.settled(reply.stream)
        await asyncio.to_thread(server.restart)
        await until(lambda: is_open(mine) and is_open(other))
        client = Client(other, idle.name)
        await until(lambda: client.text == "and then silence")
        talking.say("after")
        await asyncio.wait_for(mine.settled(talking.stream), 5)
        idle.end()
        await client.check(idle)
        for log in (mine, other):
            await log.aclose()


async def test_who_tried_for_all_may_go(tmp_path: Path) -> None:
    """Redis takes nothing; the one that is to try again is taken by another worker meanwhile."""
    with RedisServer(tmp_path) as server:
        mine, other = (RedisLog(parse(server.url), interval=lambda: TICK) for _ in range(2))
        for log in (mine, other):
            await log.open_connections()
        sweeping = asyncio.create_task(sweep([mine, other]))
        replies = [Reply(mine) for _ in range(3)]
        for reply in replies:
            reply.say("before ")
            await mine.settled(reply.stream)
        assert await other.seal(replies[0].name, 2) is not None
        with server.client() as client:
            client.config_set("maxmemory", 1)
            for reply in replies:
                reply.say("refused ")
            await asyncio.sleep(0.2)
            replies[1].end()
            for _second in range(15):
                replies[0].say("again ")
                await asyncio.sleep(0.1)
            client.config_set("maxmemory", 0)
        replies[2].say("after")
        replies[2].end()
        for reply in replies[1:]:
            await Client(other, reply.name).check(reply)
        sweeping.cancel()
        for log in (mine, other):
            await log.aclose()
