"""What one may do, one may do on all workers together; and one key is one reply on all of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from tests.chat_server import ChatServer, server_events
from tests.workers.test_across_workers import until, words

pytestmark = pytest.mark.redis

A_MINUTE, AT_ONCE, FAILING = "tokens-3000-50", "tokens-20-0", "fault-401"
LATER = {"Prefer": "respond-async"}


async def say(client: httpx.AsyncClient, model: str = A_MINUTE, **fields: Any) -> httpx.Response:
    send = {"message": "hello", "provider": "sse", "model": model, **fields}
    return await client.post("/chat", json=send, headers=LATER)


async def is_let_in(client: httpx.AsyncClient) -> bool:
    """And stopped at once."""
    answer = await say(client)
    assert answer.status_code in (202, 429), answer.text
    if answer.status_code == 202:
        await client.post(f"/generations/{answer.json()['generation']}/stop")
    return answer.status_code == 202


async def over_sse(client: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    """The generation, and its whole text as it was told."""
    send = {"message": "hello", "provider": "sse", "model": AT_ONCE, **fields}
    async with client.stream("POST", "/chat", json=send) as answer:
        assert answer.status_code == 200, await answer.aread()
        generation, text = answer.headers["X-Generation-Id"], ""
        async for event in server_events(answer):
            data = json.loads(event.data)
            text = _with(text, event.event, data)
            if data.get("isFinal"):
                return generation, text
    raise AssertionError("it ended without its last event")


async def as_json(client: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    send = {"message": "hello", "provider": "sse", "model": AT_ONCE, **fields}
    answer = await client.post("/chat", json=send, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()["generation"]["id"], answer.json()["message"]["text"]


async def later(client: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    answer = await say(client, AT_ONCE, **fields)
    assert answer.status_code == 202, answer.text
    generation = answer.json()["generation"]

    async def has_ended() -> bool:
        return (await client.get(f"/generations/{generation}")).json()["status"] == "completed"

    await until(has_ended)
    return generation, (await client.get(f"/generations/{generation}")).json()["text"]


async def over_socket(worker: ChatServer, **fields: Any) -> tuple[str, str]:
    async with await worker.socket() as socket:
        send = {"type": "send", "ref": 1, "message": "hello", "provider": "sse", "model": AT_ONCE, **fields}
        await socket.send(json.dumps(send))
        return await _heard(socket)


async def _heard(socket: ClientConnection) -> tuple[str, str]:
    text = ""
    while True:
        frame = json.loads(await socket.recv())
        assert frame["type"] != "refused", frame
        text = _with(text, frame["type"], frame)
        if frame.get("isFinal"):
            return frame["generation"], text


def _with(text: str, event: str, data: dict[str, Any]) -> str:
    if event == "snapshot":
        return str(data["text"])
    return text + data["delta"] if event == "message" else text


async def test_workers_count_together(site) -> None:
    await site.start(A_MINUTE, AT_ONCE, FAILING, CHAT_SEND_RATE="900/m", CHAT_STREAMS_PER_USER="3")
    one, two = site.workers
    async with await one.client() as here, await two.client() as there, await two.client("stranger") as stranger:
        # One key fifty times at once, by every way: one reply, one upstream call, one send used up.
        ways = [
            *(over_sse(client, key="k") for client in (here, there) * 8),
            *(as_json(client, key="k") for client in (here, there) * 7),
            *(later(client, key="k") for client in (here, there) * 6),
            *(over_socket(worker, key="k") for worker in (one, two) * 4),
        ]
        assert len(ways) == 50
        told = await asyncio.gather(*ways)
        assert len(set(told)) == 1
        assert told[0][1] == words(20)
        assert len(site.upstreams.sse.connections) == 1

        # The places of one user, on both.
        running = [await say(client) for client in (here, there, here)]
        assert [answer.status_code for answer in running] == [202] * 3
        assert [int(answer.headers["RateLimit-Remaining"]) for answer in running] == [898, 897, 896]
        for client in (here, there):
            refused = await say(client)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
            assert refused.headers["RateLimit-Remaining"] == "896"
        assert (await say(stranger)).status_code == 202

        # Free again after a stop, wherever it comes from, and after a failure.
        await there.post(f"/generations/{running[0].json()['generation']}/stop")
        assert await is_let_in(there)
        failed = await say(here, FAILING)
        async with here.stream("GET", f"/generations/{failed.json()['generation']}/events") as events:
            assert (await events.aread()).count(b"event: error") == 1
        last = await say(there)
        assert last.status_code == 202

        # And after the death of the worker that held them: two places were its own.
        assert not await is_let_in(there)
        one.kill()
        await until(lambda: is_let_in(there), 40)


async def test_a_redis_that_goes_takes_no_sign_in_down_and_is_counted_in_again(site) -> None:
    await site.start(AT_ONCE, CHAT_LOGIN_RATE="4/m")
    one, two = site.workers

    async def sign_in(worker: ChatServer) -> int:
        """An attempt whose password is too long to be looked at: it is counted, and costs nothing more."""
        credentials = {"username": "owner", "password": "x" * 5000}
        async with httpx.AsyncClient() as client:
            return (await client.post(f"{worker.url}/api/v1/auth/token", json=credentials)).status_code

    assert [await sign_in(worker) for worker in (one, two, one)] == [413] * 3
    await asyncio.to_thread(site.redis.kill)
    assert [await sign_in(one) for _ in range(5)] == [413] * 4 + [429], "the worker counts alone"
    await asyncio.to_thread(site.redis.start)

    async def is_shared_again() -> bool:
        await sign_in(one)  # which asks Redis
        return "all workers count together again" in one.log()

    await until(is_shared_again)
    assert one.log().count("this process counts alone") == 1
    statuses = [await sign_in(worker) for worker in (two, one) * 3]
    assert statuses.count(413) <= 1, "what was counted before Redis went is still there"
