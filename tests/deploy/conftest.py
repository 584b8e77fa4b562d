"""The product behind its proxy: two workers with one database and one upstream, and an nginx in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import ChatServer
from tests.nginx_server import NginxServer
from tests.providers.certificate import certificate
from tests.server_database import ServerDatabase

__all__ = ["certificate", "shared_site", "site"]

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


@asynccontextmanager
async def sites(directory: Path, certificate: Path, prepared_database: ServerDatabase) -> AsyncIterator[StartSite]:
    simulator = OpenAIChatSimulator(KEY)
    await simulator.start()
    started: list[Site] = []

    async def start(**settings: str) -> Site:
        environment = {
            "TEST_KEY": KEY,
            "CHAT_TRUST_PROXY": "1",
            "CHAT_DRAIN_SECONDS": "0",
            "UVICORN_PROXY_HEADERS": "false",  # as scripts/serve has it: the server reads them by itself
            **settings,
        }
        workers: list[ChatServer] = []
        for number in range(2):
            own = directory / f"worker-{number}"
            own.mkdir()
            worker = ChatServer(own, environment, "uvicorn")
            worker.declare(PROVIDERS.format(url=simulator.url))
            workers.append(worker)
            environment["DATABASE_URL"] = worker.environment["DATABASE_URL"]  # the first one's, for the second too
        own = directory / "nginx"
        own.mkdir()
        site = Site(workers, NginxServer(own, certificate, [worker.port for worker in workers]))
        started.append(site)
        workers[0].prepare(prepared_database)
        await asyncio.gather(*(worker.start() for worker in workers))
        await site.proxy.start()
        return site

    yield start
    for site in started:
        site.proxy.stop()
        for worker in site.workers:
            worker.stop()
        site.workers[0].close()
    await simulator.aclose()


@pytest_asyncio.fixture
async def site(tmp_path: Path, certificate: Path, prepared_database: ServerDatabase) -> AsyncIterator[StartSite]:
    """`await site(VARIABLE="value")`: one of the test's own."""
    async with sites(tmp_path, certificate, prepared_database) as start:
        yield start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_site(
    tmp_path_factory: pytest.TempPathFactory, certificate: Path, prepared_database: ServerDatabase
) -> AsyncIterator[Site]:
    """For tests that leave it as they found it."""
    async with sites(tmp_path_factory.mktemp("site"), certificate, prepared_database) as start:
        yield await start()
