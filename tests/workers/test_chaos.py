"""Everything dies, again and again, under two hundred replies: nothing is lost, nothing comes twice, nobody waits.

Two workers behind nginx, over a PostgreSQL, a Redis and upstreams of their own, all real processes. Half of the readers
come through nginx, half go to the worker that does not run their reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.chat_server import ChatServer
from tests.detour import Detour
from tests.guarantees.conftest import Upstreams
from tests.nginx_server import NginxServer
from tests.postgres_server import PostgresServer
from tests.providers.certificate import certificate
from tests.redis_servers import RedisServer
from tests.server_database import PostgreSQLDatabase
from tests.workers.conftest import Follower, Site

__all__ = ["certificate"]

pytestmark = [pytest.mark.redis, pytest.mark.postgres]

AT_ONCE = 200
KILLS = 20
MODEL = "tokens-400-5"
"""Eighty seconds of tokens: most replies live through several deaths of others."""

PROMISED_SECONDS = 15.0


class Chaos:
    def __init__(self, site: Site, proxy: NginxServer, headers: dict[str, str]) -> None:
        self.site = site
        self.proxy = proxy
        self.headers = headers
        self.followers: list[Follower] = []
        self.reading: set[asyncio.Task[None]] = set()
        self.restarting: set[asyncio.Task[None]] = set()
        self.numbers = itertools.count()
        self.trust = proxy.trust
        self.enough = False

    async def keep_busy(self) -> None:
        """Two hundred replies live, whatever happens."""
        async with self.proxy.client(self.headers) as client:
            while not self.enough:
                missing = AT_ONCE - len(self.reading)
                if missing > 0:
                    await asyncio.gather(*(self.start(client) for _ in range(min(missing, 20))))
                await asyncio.sleep(0.1)

    async def start(self, client: httpx.AsyncClient) -> None:
        """As an app does that minds its key: again, until it is answered."""
        number = next(self.numbers)
        send = {
            "message": "hello",
            "model": MODEL,
            "key": f"key-{number}",
            "provider": ("sse", "websocket")[number % 2],
        }
        for _attempt in range(100):
            with contextlib.suppress(httpx.TransportError):
                answer = await client.post("/api/v1/chat", json=send, headers={"Prefer": "respond-async"})
                if answer.status_code == 202:
                    break
                assert answer.status_code in (500, 502, 503, 504), answer.text
            await asyncio.sleep(0.2)
        else:
            raise AssertionError("a send was never taken")
        generation = answer.json()["generation"]
        addresses = [self.proxy.url] if number % 4 < 2 else [self.site.workers[number % 2].url, self.proxy.url]
        follower = Follower(addresses, generation, self.headers, self.trust)
        self.followers.append(follower)
        task = asyncio.create_task(follower.follow())
        self.reading.add(task)
        task.add_done_callback(self.reading.discard)

    async def kill_one(self) -> None:
        worker = random.choice([one for one in self.site.workers if one.process.poll() is None])
        await asyncio.to_thread(worker.kill)
        # As a supervisor would, at once.
        await worker.start()

    async def stop_all(self) -> None:
        async with self.proxy.client(self.headers) as client:
            live = [follower for follower in self.followers if follower.terminal is None]
            await asyncio.gather(*(client.post(f"/api/v1/generations/{one.generation}/stop") for one in live))
        await asyncio.wait_for(asyncio.gather(*self.reading), 60)

    async def losses_and_duplicates(self, database: PostgreSQLDatabase) -> list[str]:
        """Each reader against what is stored."""
        rows = database.execute(
            "SELECT g.id, g.status, g.seq, g.error_code, m.text"
            " FROM chat_generation g JOIN chat_message m ON m.id = g.message_id"
        )
        stored = {str(row[0]): row[1:] for row in rows}
        assert len(stored) == len(self.followers), "each key started one generation"
        found: list[str] = []
        for follower in self.followers:
            status, seq, code, text = stored[follower.generation]
            found += [f"{follower.generation} {fault}" for fault in follower.faults]
            if status not in ("completed", "cancelled", "failed", "interrupted"):
                found.append(f"{follower.generation} is {status}")
            if follower.terminal is None:
                found.append(f"{follower.generation} was never told its end")
            elif follower.terminal.get("code", "") != code:
                found.append(f"{follower.generation} was told {follower.terminal}, stored is {code}")
            if (follower.text, follower.cursor) != (text, seq):
                found.append(f"{follower.generation}: {len(follower.text)} of {len(text)}, {follower.cursor} of {seq}")
            if text != "".join(f"t{n:06d} " for n in range(1, 401))[: len(text)]:
                found.append(f"{follower.generation}: not what the upstream said")
        return found


async def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path, certificate: Path, upstreams: Upstreams) -> None:
    detours = [Detour(), Detour()]
    with (
        RedisServer(tmp_path / "redis", appendonly=True) as redis,
        PostgresServer(tmp_path / "postgres") as postgres,
    ):
        database = PostgreSQLDatabase(postgres.url)
        toml = upstreams.toml(MODEL)
        for detour, simulator in zip(detours, (upstreams.sse, upstreams.websocket), strict=True):
            toml = toml.replace(simulator.url, await detour.start(simulator.url))
        site = Site(tmp_path, upstreams, redis, database)
        for number in range(2):
            site.workers.append(make_worker(tmp_path / f"worker-{number}", database, redis, toml))
        await asyncio.to_thread(site.workers[0].prepare)
        await asyncio.gather(*(worker.start() for worker in site.workers))
        (tmp_path / "nginx").mkdir()
        proxy = NginxServer(tmp_path / "nginx", certificate, [worker.port for worker in site.workers])
        await proxy.start()
        try:
            chaos = Chaos(site, proxy, await site.workers[0].headers())
            busy = asyncio.create_task(chaos.keep_busy())
            await until_busy(chaos, busy)
            for kill in range(KILLS):
                if kill == 15:
                    await until_busy(chaos, busy)
                    for detour in detours:
                        await detour.cut()
                        await detour.mend()
                    # All of them may run on the worker that dies next: then nobody would be left to tell of the cut.
                    await until_told_of_the_cut(chaos, busy)
                await chaos.kill_one()
                if kill == 5:
                    await asyncio.to_thread(redis.restart)
                if kill == 10:
                    await asyncio.to_thread(postgres.restart)
                assert not busy.done() or busy.result()
                await asyncio.sleep(4)
            chaos.enough = True
            await busy
            await chaos.stop_all()
            found = await chaos.losses_and_duplicates(database)
            ends = Counter(one.end for one in chaos.followers)
            longest = max(one.longest_wait for one in chaos.followers)
            sys.stderr.write(f"{len(chaos.followers)} replies, {dict(ends)}, longest wait {longest:.1f} s\n")
            assert found == []
            assert longest < PROMISED_SECONDS
            assert ends["INTERRUPTED"] >= KILLS
            assert ends["UPSTREAM_UNAVAILABLE"] > 0
        finally:
            proxy.stop()
            for detour in detours:
                await detour.cut()
            for worker in site.workers:
                if worker.process is not None and worker.process.poll() is None:
                    worker.kill()


async def until_busy(chaos: Chaos, busy: asyncio.Task[None]) -> None:
    for _second in range(60):
        if busy.done():
            busy.result()
        if sum(1 for one in chaos.followers if one.cursor > 3 and one.terminal is None) >= AT_ONCE * 0.95:
            return
        await asyncio.sleep(1)
    raise AssertionError("two hundred replies were never live")


async def until_told_of_the_cut(chaos: Chaos, busy: asyncio.Task[None]) -> None:
    for _tenth in range(100):
        if busy.done():
            busy.result()
        if any(one.end == "UPSTREAM_UNAVAILABLE" for one in chaos.followers):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no reader was told that its upstream is cut")


def make_worker(directory: Path, database: PostgreSQLDatabase, redis: RedisServer, toml: str) -> ChatServer:
    directory.mkdir()
    environment = {
        "TEST_KEY": "test-key", "TEST_SECRET": "test-secret", "TEST_APP": "app",
        "DATABASE_URL": database.url, "REDIS_URL": redis.url,
        "CHAT_TRUST_PROXY": "1", "UVICORN_PROXY_HEADERS": "false",
    }  # fmt: skip
    worker = ChatServer(directory, environment, "uvicorn")
    worker.database = database
    worker.declare(toml)
    return worker
