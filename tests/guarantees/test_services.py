"""The same promises over PostgreSQL and with Redis between the sockets."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tests.chat_server import server_events
from tests.external_services import REDIS_URL

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


async def test_a_reply_its_stop_its_keys_and_a_restart_on_postgresql(serve) -> None:
    server = await serve("tokens-30-0", "tokens-2000-50", REDIS_URL=REDIS_URL)
    async with await server.client() as client:
        for upstream in ("sse", "websocket"):
            send = {"message": "héllo 世界", "provider": upstream, "key": f"key-{upstream}"}
            answers = await asyncio.gather(
                *(client.post("/chat", json=send, headers={"Accept": "application/json"}) for _ in range(20))
            )
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["generation"]["id"] for answer in answers}) == 1
            body = answers[0].json()
            assert body["message"]["text"] == "".join(f"t{n:06d} " for n in range(1, 31))
            other = await client.post("/chat", json={**send, "message": "another"})
            assert other.status_code == 409
        conversation = body["conversation"]
        async with client.stream(
            "POST", "/chat", json={"message": "more", "conversation": conversation, "model": "tokens-2000-50"}
        ) as answer:
            generation = answer.headers["x-generation-id"]
            seen = ""
            try:
                async for event in server_events(answer):
                    if event.event == "message":
                        seen += json.loads(event.data)["delta"]
                    if len(seen.split()) >= 150 and server.process.poll() is None:
                        server.kill()
            except httpx.TransportError:
                pass
        await server.start()
        for _attempt in range(150):
            record = (await client.get(f"/generations/{generation}")).json()
            if record["status"] != "streaming":
                break
            await asyncio.sleep(0.1)
        assert record["status"] == "interrupted"
        assert record["text"].startswith(seen), "Redis has all that anybody has seen"
        messages = (await client.get(f"/conversations/{conversation}/messages")).json()["items"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * 2
        assert messages[-1]["text"] == record["text"]


async def test_nudges_reach_the_other_sockets_of_the_user_through_redis(serve) -> None:
    server = await serve("tokens-5-0", REDIS_URL=REDIS_URL)
    async with (
        await server.socket() as watching,
        await server.socket("stranger") as stranger,
        await server.client() as client,
    ):
        await watching.send('{"type": "ping"}')
        await watching.recv()
        made = await client.post("/conversations", json={"title": "new"})
        nudge = json.loads(await asyncio.wait_for(watching.recv(), 10))
        assert nudge == {"type": "conversation", "action": "created", "id": made.json()["id"]}
        await stranger.send('{"type": "ping"}')
        assert json.loads(await stranger.recv())["type"] == "pong"
