"""What a reply has taken is free when it is over: nothing of it waits for the cyclic garbage collector, which comes
seldom, and would find megabytes of text, and hold everybody up while it looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.chat_server import ChatServer, server_events

REPLIES = 1
WHOLE, LONG = "tokens-20-100", "tokens-3000-20"
FAULTS = ("fault-400", "fault-500", "fault-cut", "fault-error-frame", "fault-garbage", "fault-empty", "fault-stall")

ENDED = ("completed", "cancelled", "failed")
PROVIDERS = ("sse", "websocket")


async def garbage(server: ChatServer) -> dict[str, int]:
    async with httpx.AsyncClient() as client:
        found: dict[str, int] = (await client.get(f"{server.url}/garbage")).json()
        return found


async def over(client: httpx.AsyncClient, generation: str) -> None:
    while True:
        await asyncio.sleep(0.3)  # its connection upstream closes, and the sweep has seen it
        if (await client.get(f"/generations/{generation}")).json()["status"] in ENDED:
            return


def send(model: str, provider: str) -> dict[str, str]:
    return {"message": "hello", "model": model, "provider": provider}


async def read(client: httpx.AsyncClient, model: str, provider: str) -> None:
    async with client.stream("POST", "/chat", json=send(model, provider)) as answer:
        async for _ in server_events(answer):
            pass
    await over(client, answer.headers["x-generation-id"])


async def leave(client: httpx.AsyncClient, model: str, provider: str) -> None:
    """The reader goes in the middle, and the reply goes on until it is stopped."""
    async with client.stream("POST", "/chat", json=send(model, provider)) as answer:
        async for event in server_events(answer):
            if event.event == "message":
                break
    generation = answer.headers["x-generation-id"]
    await client.post(f"/generations/{generation}/stop")
    await over(client, generation)


async def read_by_socket(server: ChatServer, client: httpx.AsyncClient, model: str, provider: str) -> None:
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "send", **send(model, provider)}))
        generation = ""
        async for frame in socket:
            event = json.loads(frame)
            generation = event.get("generation", generation)
            if event.get("isFinal"):
                break
    await over(client, generation)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_nothing_of_a_reply_waits_for_the_garbage_collector(serve: Callable[..., Any], provider: str) -> None:
    server = await serve(WHOLE, LONG, *FAULTS, server="uvicorn", application="tests.garbage_probe:application")
    async with await server.client() as client:

        async def remains(model: str, how: str) -> dict[str, int]:
            for number in range(1 + REPLIES):
                match how:
                    case "read":
                        await read(client, model, provider)
                    case "leave":
                        await leave(client, model, provider)
                    case _:
                        await read_by_socket(server, client, model, provider)
                if not number:  # what is done for the first time only is not looked at
                    await garbage(server)
            return await garbage(server)

        left = {
            f"{how} {model}": found
            for how, model in [
                ("read", WHOLE),
                ("leave", LONG),
                ("socket", WHOLE),
                *(("read", fault) for fault in FAULTS),
            ]
            if (found := await remains(model, how))
        }
    assert not left
