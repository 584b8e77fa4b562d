"""An AI of one's own on a WebSocket, and the adapter that its table makes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request

from chat.providers.base import Provider
from chat.providers.providers_file import declarations_of
from chat.providers.registry import Registry
from tests.upstreams.rig import main_of

KEY = "a key/of mine"

Says = Callable[[ServerConnection], Awaitable[None]]


class Upstream:
    """Says what it is told to, and notes what it was asked."""

    def __init__(self, says: Says, table: dict[str, Any]) -> None:
        self._says = says
        self._table = table
        self.asked: list[Any] = []
        self.handshakes: list[Request] = []
        self.provider: Provider

    async def answer(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.handshakes.append(connection.request)
        self.asked.append(json.loads(await connection.recv()))
        await self._says(connection)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        async with serve(self.answer, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            registry = registry_of({**self._table, "base_url": f"http://127.0.0.1:{port}/talk"})
            self.provider = main_of(registry)
            yield self
            await registry.aclose()


def registry_of(table: dict[str, Any]) -> Registry:
    whole = {"kind": "websocket_json", "base_url": "ws://127.0.0.1:1/", "models": ["m"], "api_key": "env:KEY", **table}
    return Registry(declarations_of({"providers": {"main": whole}}, "the test"), {"KEY": KEY})


def says(*messages: object, close: int | None = None) -> Says:
    """JSON, but for texts and bytes, which go as they are; `close`: the code that the connection is closed with."""

    async def behave(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
        if close is not None:
            await connection.close(close)
        await connection.wait_closed()

    return behave


def upstream(*messages: object, close: int | None = None, **table: Any) -> Any:
    return Upstream(says(*messages, close=close), table).running()
