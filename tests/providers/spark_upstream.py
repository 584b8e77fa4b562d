"""A Spark upstream that says exactly what a test tells it to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from chat.errors import UpstreamError
from chat.providers.spark import Spark
from tests.providers.conftest import Reply, question, read, spark_for

Behaviour = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def upstream(
    behave: Behaviour, refuse: Callable[[ServerConnection, Request], Response | None] | None = None
) -> AsyncIterator[Spark]:
    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await behave(connection)

    async with serve(answer, "127.0.0.1", 0, compression=None, process_request=refuse, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield spark_for(f"ws://127.0.0.1:{port}/v3.5/chat")


def says(*frames: str | bytes) -> Behaviour:
    """Sends the frames in one go, then leaves it to the client to close, as the real server does."""

    async def behave(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    return behave


def frame(content: str = "", status: int = 1, code: int = 0) -> str:
    header = {"code": code, "message": "m", "sid": "s", "status": status}
    if code:
        return json.dumps({"header": header})
    text = [{"content": content, "role": "assistant", "index": 0}]
    return json.dumps({"header": header, "payload": {"choices": {"status": status, "seq": 0, "text": text}}})


async def failure_of(provider: Spark, reply: Reply | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as failure:
        await read(provider, question("demo"), reply)
    return failure.value
