"""A sign-in that ends on one worker ends its streams on the others."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.chat_server import server_events
from tests.test_sign_outs import close_code

pytestmark = pytest.mark.redis


async def test_a_revoke_on_one_worker_ends_what_is_open_on_the_other_and_a_stranger_s_stays(site) -> None:
    await site.start("tokens-3000-50", CHAT_PING_SECONDS="600")  # nobody looks by himself within the test
    one, two = site.workers
    async with AsyncExitStack() as stack:
        opened = {}
        for user in ("owner", "stranger"):
            client = await stack.enter_async_context(await two.client(user))
            send = {"message": "hello", "model": "tokens-3000-50", "provider": "sse"}
            answer = await stack.enter_async_context(client.stream("POST", "/chat", json=send))
            events = server_events(answer)
            await anext(events)
            opened[user] = events, await stack.enter_async_context(await two.socket(user))
        async with httpx.AsyncClient(headers=await one.headers()) as client:
            assert (await client.post(f"{one.url}/api/v1/auth/revoke")).status_code == 204
        async with asyncio.timeout(15):
            events, socket = opened["owner"]
            async for event in events:
                assert event.event == "message"
                assert not json.loads(event.data)["isFinal"]
            assert await close_code(socket) == 4401
            events, socket = opened["stranger"]
            for _number in range(3):
                await anext(events)
            await socket.send(json.dumps({"type": "ping"}))
            while json.loads(await socket.recv())["type"] != "pong":
                pass
