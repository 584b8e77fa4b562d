"""The product behind its proxy: two workers with one database and one upstream, and an nginx in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import ChatServer
from tests.nginx_server import NginxServer
from tests.providers.certificate import certificate
from tests.server_database import ServerDatabase

__all__ = ["certificate", "site"]

KEY = "test-key"
SLOW, QUICK = "tokens-60-2", "tokens-3-0"
"""The first takes half a minute; all of it together is little for a buffer."""

PROVIDERS = f"""
[providers.main]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{QUICK}", "{SLOW}"]
"""


class Site:
    """Two workers and the proxy; as an app, sign in once: the token is good at both."""

    def __init__(self, workers: list[ChatServer], proxy: NginxServer) -> None:
        self.workers = workers
        self.proxy = proxy


StartSite = Callable[..., Awaitable[Site]]


@pytest_asyncio.fixture
async def site(tmp_path: Path, certificate: Path, prepared_database: ServerDatabase) -> AsyncIterator[StartSite]:
    """`await site(VARIABLE="value")`."""
    simulator = OpenAIChatSimulator(KEY)
    await simulator.start()
    workers: list[ChatServer] = []
    proxies: list[NginxServer] = []

    async def start(**settings: str) -> Site:
        environment = {
            "TEST_KEY": KEY,
            "CHAT_TRUST_PROXY": "1",
            "CHAT_DRAIN_SECONDS": "0",
            "UVICORN_PROXY_HEADERS": "false",  # as scripts/serve has it: the server reads them by itself
            **settings,
        }
        for number in range(2):
            directory = tmp_path / f"worker-{number}"
            directory.mkdir()
            worker = ChatServer(directory, environment, "uvicorn")
            worker.declare(PROVIDERS.format(url=simulator.url))
            workers.append(worker)
            environment["DATABASE_URL"] = worker.environment["DATABASE_URL"]  # the first one's, for the second too
        workers[0].prepare(prepared_database)
        await asyncio.gather(*(worker.start() for worker in workers))
        directory = tmp_path / "nginx"
        directory.mkdir()
        proxy = NginxServer(directory, certificate, [worker.port for worker in workers])
        proxies.append(proxy)
        await proxy.start()
        return Site(workers, proxy)

    yield start
    for proxy in proxies:
        proxy.stop()
    for worker in workers:
        worker.stop()
    for worker in workers[:1]:
        worker.close()
    await simulator.aclose()
