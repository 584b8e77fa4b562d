"""PostgreSQL that cannot be reached for a moment signs nobody out and ends no reply; then all goes on by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection

from tests.chat_server import ChatServer
from tests.detour import Detour, detour
from tests.guarantees.conftest import SECRETS, Upstreams
from tests.server_database import ServerDatabase

__all__ = ["detour"]

pytestmark = pytest.mark.postgres

SHORT, LONG = "tokens-20-100", "tokens-100-25"
PATIENCE = 30.0
"""Seconds until a test gives a condition up."""


@pytest_asyncio.fixture
async def server(
    tmp_path: Path, upstreams: Upstreams, prepared_database: ServerDatabase, detour: Detour
) -> AsyncIterator[ChatServer]:
    """Its database is behind the detour."""
    server = ChatServer(tmp_path, {**SECRETS, "CHAT_PING_SECONDS": "1"}, "uvicorn")
    server.declare(upstreams.toml(SHORT, LONG))
    server.prepare(prepared_database)
    server.environment["DATABASE_URL"] = await detour.start(server.database.url)
    await server.start()
    yield server
    await asyncio.to_thread(server.close)  # its way to the database is in this event loop


async def frame(socket: ClientConnection, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The next one that is wanted."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(found := json.loads(await socket.recv())):
            pass
        return found


async def until_ready(server: ChatServer, status: int) -> None:
    deadline = time.monotonic() + PATIENCE
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        while (await client.get(f"{server.url}/readyz")).status_code != status:
            assert time.monotonic() < deadline, server.log()
            await asyncio.sleep(0.1)


async def until_logged(server: ChatServer, words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while words not in server.log():
        assert time.monotonic() < deadline, server.log()
        await asyncio.sleep(0.1)


async def test_a_socket_outlives_it_and_its_user_is_answered_again(server: ChatServer, detour: Detour) -> None:
    async with await server.socket() as socket:
        await socket.send('{"type": "ping"}')
        await frame(socket, lambda found: found["type"] == "pong")
        await detour.cut()
        await until_ready(server, 503)
        await until_logged(server, "sign-ins cannot be looked up")
        await detour.mend()
        await until_ready(server, 200)
        # Who finds that a connection has been lost may be refused; a new one takes its place.
        answer = {"type": "refused"}
        while answer["type"] == "refused":
            await socket.send(json.dumps({"type": "send", "message": "hello", "model": SHORT}))
            answer = await frame(socket, lambda found: found["type"] in ("refused", "accepted"))
            assert answer.get("code") in (None, "UNAVAILABLE")
        assert (await frame(socket, lambda found: found.get("isFinal")))["finish_reason"] == "stop"


@pytest.mark.parametrize("model", [SHORT, LONG])
async def test_a_reply_that_runs_meanwhile_is_whole(server: ChatServer, detour: Detour, model: str) -> None:
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "send", "message": "hello", "model": model}))
        begun = await frame(socket, lambda found: found["type"] == "message")
        await detour.cut()
        await until_ready(server, 503)
        await asyncio.sleep(2)  # longer than it takes to save what has come, and than the short one takes
        await detour.mend()
        await until_ready(server, 200)
        last = await frame(socket, lambda found: found.get("isFinal") or found["type"] == "error")
        assert last.get("finish_reason") == "stop", (last, server.log())
    async with await server.client() as client:
        while (answer := await client.get(f"/generations/{begun['generation']}")).status_code != 200:
            assert answer.status_code >= 500, answer.text
        saved = answer.json()
    assert (saved["status"], saved["text"], saved["seq"]) == ("completed", last["text"], last["seq"])
