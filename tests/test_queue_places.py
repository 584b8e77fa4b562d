"""Places in the queue, as a server tells them to those who wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.chat_server import server_events
from tests.watched_server import ENDLESS, PATIENCE, running, watched

__all__ = ["watched"]

NARROW = f"""
[providers.narrow]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{ENDLESS}"]
concurrency = 1
"""
SEND = {"message": "hello", "provider": "narrow", "model": ENDLESS}


async def test_a_place_that_changes_right_after_it_was_told_is_told_although_nobody_goes_later(watched: Any) -> None:
    server = await watched(more=NARROW, CHAT_SEND_RATE="off", CHAT_STREAMS_PER_USER="off")
    async with await server.client() as client, running(client, ENDLESS, "narrow"):
        before = await client.post("/chat", json=SEND, headers={"Prefer": "respond-async"})
        places: list[int] = []
        async with asyncio.timeout(PATIENCE), client.stream("POST", "/chat", json=SEND) as answer:
            async for event in server_events(answer):
                if event.event == "note":
                    places.append(json.loads(event.data)["details"]["position"])
                    if places == [2]:
                        await client.post(f"/generations/{before.json()['generation']}/stop")
                    elif places[-1] == 1:
                        break
        waiting = answer.headers["x-generation-id"]
        assert (await client.post(f"/generations/{waiting}/stop")).json()["status"] == "cancelled"
        assert places == [2, 1]
