"""A server process and simulated upstreams for tests of what clients are promised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.spark import SparkSimulator
from tests.chat_server import ChatServer
from tests.external_services import DATABASE_URL, REDIS_URL, usable
from tests.server_database import ServerDatabase

# Where the tests run on PostgreSQL.
collect_ignore = [
    *([] if DATABASE_URL else ["test_database_cut_off.py"]),
    *([] if DATABASE_URL and usable(REDIS_URL) else ["test_services.py"]),
]

TIMEOUTS = "{ connect = 2, first_token = 2, idle = 2, total = 60 }"


class Upstreams:
    """Both simulators, and the providers that speak to them: `sse` and `websocket`."""

    def __init__(self) -> None:
        self.sse = OpenAIChatSimulator("test-key")
        self.websocket = SparkSimulator("test-key", "test-secret")
        self.models: list[str] = []

    async def start(self) -> None:
        await self.sse.start()
        await self.websocket.start()

    async def aclose(self) -> None:
        await self.sse.aclose()
        await self.websocket.aclose()

    def toml(self, *models: str) -> str:
        names = ", ".join(f'"{model}"' for model in models)
        return f"""
[providers.sse]
kind = "openai_chat"
base_url = "{self.sse.url}"
api_key = "env:TEST_KEY"
models = [{names}]
timeout = {TIMEOUTS}
retries = 0

[providers.resuming]
kind = "openai_chat"
base_url = "{self.sse.url}"
api_key = "env:TEST_KEY"
models = [{names}]
timeout = {TIMEOUTS}
retries = 0
prefill = "prefix"

[providers.websocket]
kind = "spark"
base_url = "{self.websocket.url}"
app_id = "env:TEST_APP"
api_key = "env:TEST_KEY"
api_secret = "env:TEST_SECRET"
models = [{names}]
timeout = {TIMEOUTS}
retries = 0
"""


SECRETS = {"TEST_KEY": "test-key", "TEST_SECRET": "test-secret", "TEST_APP": "app"}


@pytest_asyncio.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    upstreams = Upstreams()
    await upstreams.start()
    yield upstreams
    await upstreams.aclose()


@pytest_asyncio.fixture
async def serve(
    tmp_path: Path, prepared_database: ServerDatabase, upstreams: Upstreams
) -> AsyncIterator[Callable[..., Any]]:
    """`await serve("model", …, VARIABLE="value")`: a running server with these models behind both upstreams."""
    servers: list[ChatServer] = []

    async def start(
        *models: str, server: str = "daphne", application: str | None = None, **environment: str
    ) -> ChatServer:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        chat_server = ChatServer(directory, {**SECRETS, **environment}, server)
        chat_server.application = application or chat_server.application
        servers.append(chat_server)
        chat_server.declare(upstreams.toml(*models))
        chat_server.prepare(prepared_database)
        await chat_server.start()
        return chat_server

    yield start
    for chat_server in servers:
        chat_server.close()
