"""Several workers of one site: real processes over one database and one Redis, with simulated upstreams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.chat_server import ChatServer, server_events
from tests.external_services import required
from tests.guarantees.conftest import SECRETS, Upstreams, upstreams
from tests.redis_servers import RedisServer
from tests.server_database import ServerDatabase
from tests.workers import previous_version

# Where the code is no repository, there is no other version to compare with.
collect_ignore = [] if required() or previous_version.commit() else ["test_versions.py"]

__all__ = ["upstreams"]


class Site:
    """`workers` share everything but their process; `redis` is stopped and started at will."""

    def __init__(self, directory: Path, upstreams: Upstreams, redis: RedisServer, prepared: ServerDatabase) -> None:
        self._directory = directory
        self._prepared = prepared
        self.upstreams = upstreams
        self.redis = redis
        self.workers: list[ChatServer] = []
        self.models: tuple[str, ...] = ()

    async def start(self, *models: str, workers: int = 2, server: str = "uvicorn", **environment: str) -> None:
        self.models = models
        made = [self.add(server, **environment) for _ in range(workers)]
        await asyncio.gather(*(worker.start() for worker in made))

    def add(self, server: str = "uvicorn", kind: type[ChatServer] = ChatServer, **environment: str) -> ChatServer:
        """One more worker, not yet started."""
        directory = self._directory / f"worker-{len(self.workers)}"
        directory.mkdir()
        worker = kind(directory, {**SECRETS, "REDIS_URL": self.redis.url, **environment}, server)
        if self.workers:
            worker.environment["DATABASE_URL"] = self.workers[0].database.url
            worker._tokens = self.workers[0]._tokens
        else:
            worker.prepare(self._prepared)
        worker.declare(self.upstreams.toml(*self.models))
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        for worker in self.workers:
            worker.close()


@pytest_asyncio.fixture
async def site(tmp_path: Path, prepared_database: ServerDatabase, upstreams: Upstreams) -> AsyncIterator[Site]:
    """`await site.start("model", …, VARIABLE="value")`."""
    with RedisServer(tmp_path / "redis", appendonly=True) as redis:
        site = Site(tmp_path, upstreams, redis, prepared_database)
        yield site
        site.close()


class Follower:
    """A client of one generation that comes back with its cursor, to each of its addresses in turn, until the end.
    `longest_wait`: between two events, in seconds."""

    def __init__(self, addresses: Sequence[str], generation: str, headers: dict[str, str], verify: Any = False) -> None:
        self._addresses = addresses
        self._headers = headers
        self._verify = verify
        self.generation = generation
        self.text = ""
        self.cursor = 0
        self.terminal: dict[str, Any] | None = None
        self.connections = 0
        self.faults: list[str] = []
        self.longest_wait = 0.0
        self.takeovers = 0
        self._heard = time.monotonic()

    @property
    def end(self) -> str:
        """The code of its failure, or its finish reason."""
        terminal = self.terminal or {}
        return str(terminal.get("code", terminal.get("finish_reason")))

    async def follow(self) -> None:
        self._heard = time.monotonic()
        timeout = httpx.Timeout(5, read=20)
        async with httpx.AsyncClient(timeout=timeout, verify=self._verify) as client:
            while self.terminal is None and not self.faults:
                with contextlib.suppress(httpx.TransportError):
                    await self._follow_once(client)
                if self.terminal is None:
                    await asyncio.sleep(0.1)

    async def _follow_once(self, client: httpx.AsyncClient) -> None:
        address = self._addresses[self.connections % len(self._addresses)]
        self.connections += 1
        url = f"{address}/api/v1/generations/{self.generation}/events"
        async with client.stream("GET", url, headers={**self._headers, "Last-Event-ID": str(self.cursor)}) as answer:
            if answer.status_code == 200:
                async for event in server_events(answer):
                    self._take(event.event, event.id, json.loads(event.data))
            elif answer.status_code not in (502, 503, 504):
                self.faults.append(f"status {answer.status_code}")

    def _take(self, event: str, id: str, data: dict[str, Any]) -> None:
        if event == "ping":
            return
        now = time.monotonic()
        self.longest_wait = max(self.longest_wait, now - self._heard)
        self._heard = now
        if self.terminal is not None:
            self.faults.append("something came after the end")
        seq = int(id)
        if event == "snapshot":
            self.text, self.cursor = data["text"], seq
            return
        if seq != self.cursor + 1:
            self.faults.append(f"{seq} after {self.cursor}")
        self.cursor = seq
        if event == "error" or data.get("isFinal"):
            self.terminal = data
        elif event == "message":
            self.text += data["delta"]
        elif event == "takeover":
            self.takeovers += 1


@pytest.fixture
def follower(site: Site) -> Callable[..., Any]:
    async def make(generation: str, *workers: ChatServer) -> Follower:
        addresses = [worker.url for worker in workers or site.workers]
        return Follower(addresses, generation, await site.workers[0].headers())

    return make
