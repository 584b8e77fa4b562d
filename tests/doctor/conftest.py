"""A running server, Redis servers, and certificates for a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from tests.chat_server import ChatServer
from tests.providers.certificate import certificate, server_tls
from tests.redis_servers import RedisServer

__all__ = ["certificate", "server_tls"]


@pytest.fixture(scope="package")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    server = ChatServer(tmp_path_factory.mktemp("server"), server="uvicorn")
    server.prepare()
    asyncio.run(server.start())
    yield server
    server.close()


@pytest.fixture
def redis(tmp_path: Path, settings: Settings) -> Iterator[Callable[..., RedisServer]]:
    """`redis(…)`: a running server, which the settings name."""
    servers: list[RedisServer] = []

    def start(*extra: str, **options: Any) -> RedisServer:
        server = RedisServer(tmp_path / f"redis-{len(servers)}", extra=extra, **options)
        servers.append(server)
        server.start()
        settings.REDIS_URL = server.url
        return server

    yield start
    for server in servers:
        server.close()
