"""A database that is away for a moment signs nobody out and silences nobody."""

from __future__ import annotations

import asyncio
import json
import time


async def test_a_socket_outlives_a_look_at_its_sign_in_that_fails(serve) -> None:
    server = await serve("tokens-20-100", CHAT_PING_SECONDS="1", CHAT_STALL_SECONDS="2")
    async with await server.socket() as socket:
        await socket.send('{"type": "ping"}')
        assert json.loads(await socket.recv())["type"] == "pong", "it is signed in"
        server.database.execute("ALTER TABLE django_session RENAME TO away")
        try:
            deadline = time.monotonic() + 20
            while "sign-ins cannot be looked up" not in server.log():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)  # as long as it takes to drop a reader that takes nothing
        finally:
            server.database.execute("ALTER TABLE away RENAME TO django_session")
        await socket.send(json.dumps({"type": "send", "message": "hello", "model": "tokens-20-100"}))
        async with asyncio.timeout(20):
            while not json.loads(await socket.recv()).get("isFinal"):
                pass
