"""One worker after the other is started anew behind the proxy, while people read and write: nobody loses anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.chat_server import ChatServer
from tests.nginx_server import NginxServer, replaced
from tests.providers.certificate import certificate
from tests.workers.conftest import Follower, Site
from tests.workers.test_across_workers import LATER, record_of, start_reply, until, words

__all__ = ["certificate"]

pytestmark = pytest.mark.redis

PATIENCE = 150.0
"""Seconds until a test is given up."""
STREAMS = 50
"""Of each worker, at the start."""
FIRST, SECOND, LATEST = "tokens-20-4", "tokens-120-4", "tokens-16-4"
"""The first worker's last some seconds; the second's until it is their turn; the third are sent all the while."""
ENDLESS = "tokens-3000-4"
RESTARTING = 1012
"""How a worker that goes closes a WebSocket."""


class Tab:
    """One WebSocket that follows several replies, and comes back with its cursors until all have ended."""

    def __init__(self, address: str, trust: ssl.SSLContext, headers: dict[str, str], generations: list[str]) -> None:
        self._address = address
        self._trust = trust
        self._headers = headers
        self.text = dict.fromkeys(generations, "")
        self.cursor = dict.fromkeys(generations, 0)
        self.terminals: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []

    async def follow(self) -> None:
        while len(self.terminals) < len(self.cursor) and not self.faults:
            with contextlib.suppress(OSError, InvalidHandshake):
                async with connect(self._address, additional_headers=self._headers, ssl=self._trust) as socket:
                    await self._follow_on(socket)
            await asyncio.sleep(0.1)

    async def _follow_on(self, socket: Any) -> None:
        try:
            for generation in self.cursor.keys() - self.terminals.keys():
                follow = {"type": "follow", "generation": generation, "after": self.cursor[generation]}
                await socket.send(json.dumps(follow))
            while len(self.terminals) < len(self.cursor):
                self._take(json.loads(await socket.recv()))
        except ConnectionClosed:
            if socket.close_code != RESTARTING:
                self.faults.append(f"closed with {socket.close_code}")

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "refused":
            self.faults.append(f"refused: {frame}")
        if "seq" not in frame or frame["type"] == "end":
            return
        generation, seq = frame["generation"], frame["seq"]
        if generation in self.terminals or seq != self.cursor[generation] + 1:
            self.faults.append(f"{generation}: {seq} after {self.cursor[generation]}")
        self.cursor[generation] = seq
        if frame["type"] == "error" or frame.get("isFinal"):
            self.terminals[generation] = frame
        elif frame["type"] == "message":
            self.text[generation] += frame["delta"]


class Behind:
    """The site behind its proxy, the replies that were started there, and those who read them through the proxy."""

    def __init__(self, site: Site, proxy: NginxServer, headers: dict[str, str]) -> None:
        self.site = site
        self.proxy = proxy
        self.trust = proxy.trust
        self.headers = headers
        self.followers: list[Follower] = []
        self.tabs: list[Tab] = []

    async def start_replies(self, worker: ChatServer, model: str, count: int) -> list[str]:
        """Not all at once: the upstreams are in this process, and have two seconds for each first token."""
        generations: list[str] = []
        while len(generations) < count:
            upstreams = ["sse", "websocket"] * 5
            generations += await asyncio.gather(*(start_reply(worker, model, upstream) for upstream in upstreams))
        return generations

    def read(self, reading: asyncio.TaskGroup, generations: list[str]) -> None:
        """Each over both transports; ten share a tab."""
        followers = [Follower([self.proxy.url], generation, self.headers, self.trust) for generation in generations]
        address = self.proxy.url.replace("https", "wss") + "/ws/chat/"
        shares = [generations[at : at + 10] for at in range(0, len(generations), 10)]
        tabs = [Tab(address, self.trust, self.headers, share) for share in shares]
        for one in (*followers, *tabs):
            reading.create_task(one.follow())
        self.followers += followers
        self.tabs += tabs

    async def all_read(self) -> None:
        """Everybody has come through the proxy, to this worker or to that."""

        async def read() -> bool:
            return all(follower.cursor for follower in self.followers)

        await until(read)

    async def send(self, number: int) -> str:
        """A message through the proxy, sent again only where its connection was lost: nobody is refused."""
        send = {"message": "hello", "model": LATEST, "key": f"message-{number}"}
        async with self.proxy.client(self.headers) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.post("/api/v1/chat", json=send, headers=LATER)
                    assert answer.status_code == 202, answer.text
                    generation: str = answer.json()["generation"]
                    return generation

    async def restart(self, worker: ChatServer) -> None:
        """As the documentation has it."""
        entry = f"server {worker.url.removeprefix('http://')} "
        before = self.proxy.upstream_file.read_text()
        self.proxy.upstream_file.write_text(replaced(before, entry, f"{entry}down "))
        self.proxy.reload()
        await asyncio.sleep(0.5)  # nginx reads it in the background
        assert worker.process is not None
        worker.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.process.wait)
        await worker.start()
        self.proxy.upstream_file.write_text(before)
        self.proxy.reload()
        await asyncio.sleep(0.5)

    async def check(self, check: Callable[[dict[str, Any]], None]) -> None:
        """Of each reply that it ended as it should, and that all who read it have seen what is stored."""
        seen: list[tuple[str, str, int]] = [(one.generation, one.text, one.cursor) for one in self.followers]
        seen += [
            (generation, tab.text[generation], tab.cursor[generation]) for tab in self.tabs for generation in tab.text
        ]
        assert [one.faults for one in (*self.followers, *self.tabs) if one.faults] == []
        records: dict[str, dict[str, Any]] = {}
        for generation, text, cursor in seen:
            if generation not in records:
                records[generation] = await record_of(self.site.workers[1], generation)
                check(records[generation])
            record = records[generation]
            assert (text, cursor) == (record["text"], record["seq"]), generation


@pytest_asyncio.fixture
async def behind(site: Site, tmp_path: Path, certificate: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await behind("model", …, VARIABLE="value")`: two workers and the proxy."""
    proxies: list[NginxServer] = []

    async def start(*models: str, **environment: str) -> Behind:
        # As scripts/serve has it, the server reads the proxy's headers by itself.
        await site.start(*models, CHAT_TRUST_PROXY="1", UVICORN_PROXY_HEADERS="false", **environment)
        directory = tmp_path / "nginx"
        directory.mkdir()
        proxies.append(NginxServer(directory, certificate, [worker.port for worker in site.workers]))
        await proxies[0].start()
        return Behind(site, proxies[0], await site.workers[0].headers())

    yield start
    for proxy in proxies:
        proxy.stop()


async def test_a_rolling_restart_is_seen_by_nobody(behind) -> None:
    """Where replies can end within the drain."""
    started = await behind(FIRST, SECOND, LATEST, CHAT_DRAIN_SECONDS="45")
    one, two = started.site.workers
    lengths = {FIRST: 20, SECOND: 120, LATEST: 16}
    restarted = asyncio.Event()

    async def keep_sending(reading: asyncio.TaskGroup) -> None:
        number = 0
        while not restarted.is_set():
            number += 1
            started.read(reading, [await started.send(number)])
            await asyncio.sleep(0.5)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as reading:
        # The first to be restarted begins: its replies may end in its drain, while the other's still run.
        generations = await started.start_replies(one, FIRST, STREAMS)
        generations += await started.start_replies(two, SECOND, STREAMS)
        started.read(reading, generations)
        await started.all_read()
        reading.create_task(keep_sending(reading))
        await started.restart(one)
        await started.restart(two)
        restarted.set()

    def check(record: dict[str, Any]) -> None:
        assert (record["status"], record["text"]) == ("completed", words(lengths[record["model"]]))

    await started.check(check)
    assert any(reader.connections > 1 for reader in started.followers), "some have had to come back"


async def test_replies_that_outlast_the_drain_end_once_and_go_on_when_asked(behind) -> None:
    started = await behind(ENDLESS, CHAT_DRAIN_SECONDS="2")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as reading:
        for worker in started.site.workers:
            started.read(reading, await started.start_replies(worker, ENDLESS, 10))
        for worker in started.site.workers:
            await started.restart(worker)

    def check(record: dict[str, Any]) -> None:
        assert (record["status"], record["error"]["code"]) == ("interrupted", "INTERRUPTED")
        assert words(3000)[: len(record["text"])] == record["text"] != ""

    await started.check(check)
    async with started.proxy.client(started.headers) as client:
        await asyncio.gather(*(goes_on(client, reader) for reader in started.followers))


async def goes_on(client: httpx.AsyncClient, reader: Follower) -> None:
    """The same message, behind the text that was kept."""
    record = (await client.get(f"/api/v1/generations/{reader.generation}")).json()
    answer = await client.post(f"/api/v1/messages/{record['message']}/continue", headers=LATER)
    assert answer.status_code == 202, answer.text
    address = f"/api/v1/generations/{answer.json()['generation']}"

    async def says_more() -> bool:
        return len((await client.get(address)).json()["text"]) > 0

    await until(says_more)
    more = (await client.post(f"{address}/stop")).json()
    messages = (await client.get(f"/api/v1/conversations/{record['conversation']}/messages")).json()["items"]
    assert (messages[-1]["id"], messages[-1]["text"]) == (record["message"], reader.text + more["text"])
