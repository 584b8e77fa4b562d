"""A Redis that is not there, goes, or stands still: what needs it is refused at once, all else goes on, and when it is
back nothing has to be started again and no reader has lost anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from tests.chat_server import PASSWORD, ChatServer
from tests.workers.test_across_workers import LATER, nudge, record_of, start_reply, until, words

pytestmark = pytest.mark.redis

PATIENCE = 5.0
"""Seconds within which whatever is asked is answered, while Redis is away too, also by a slow machine."""
NOTICED_SECONDS = 15.0
"""Within so long at most, a Redis that does not answer is taken for one that is away."""
GIVEN_UP_SECONDS = 60.0
UPSTREAMS = ("sse", "websocket")
QUICK = "tokens-20-0"


async def refused(client: httpx.AsyncClient) -> bool:
    """Whether a message is refused, as it should be; it is answered in time, whatever the answer is."""
    answer = await asyncio.wait_for(client.post("/chat", json={"message": "hello"}, headers=LATER), PATIENCE)
    if answer.status_code == 202:
        return False
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE"), answer.text
    assert int(answer.headers["retry-after"]) > 0
    return True


async def ask(tab: ClientConnection, **command: Any) -> dict[str, Any]:
    """The answer to a command; what is told meanwhile, of replies and conversations, is left aside."""
    await tab.send(json.dumps(command))
    async with asyncio.timeout(PATIENCE):
        while (frame := json.loads(await tab.recv()))["type"] not in ("pong", "accepted", "refused"):
            pass
    return frame


async def refused_on(tab: ClientConnection) -> None:
    frame = await ask(tab, type="send", ref="away", message="hello")
    assert (frame["type"], frame["ref"], frame["code"]) == ("refused", "away", "UNAVAILABLE")
    assert (await ask(tab, type="ping"))["type"] == "pong"


async def what_needs_no_redis(worker: ChatServer, client: httpx.AsyncClient, conversation: str) -> None:
    """Health, signing in, and reading what there is, each answered in time."""
    credentials = {"username": "owner", "password": PASSWORD}
    async with asyncio.timeout(PATIENCE):
        assert (await client.get(f"{worker.url}/healthz")).status_code == 200
        ready = await client.get(f"{worker.url}/readyz")
        assert (ready.status_code, ready.json()["checks"]["log"]) == (200, False)
        await asyncio.sleep(1.5)  # sampled once a second
        assert "\nchat_log_open 0.0\n" in (await client.get(f"{worker.url}/metrics")).text
        assert (await client.post("/auth/token", json=credentials)).status_code == 200
        assert (await client.get("/conversations")).status_code == 200
        assert (await client.get(f"/conversations/{conversation}/messages")).status_code == 200
        assert (await client.patch(f"/conversations/{conversation}", json={"title": "renamed"})).status_code == 200


async def until_taken(client: httpx.AsyncClient, model: str) -> dict[str, Any]:
    """A finished reply, once messages are taken again."""
    answer: httpx.Response | None = None

    async def is_taken() -> bool:
        nonlocal answer
        send = {"message": "hello", "model": model}
        answer = await client.post("/chat", json=send, headers={"Accept": "application/json"})
        return answer.status_code == 200

    await until(is_taken)
    assert answer is not None
    reply: dict[str, Any] = answer.json()
    return reply


async def until_nudged(worker: ChatServer, other: ChatServer, patience: float = 15.0) -> None:
    """A change on one worker shows in a socket of the other again."""
    async with await other.socket() as tab, await worker.client() as client:

        async def shows() -> bool:
            await client.post("/conversations", json={"title": "new"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    return (await nudge(tab))["action"] == "created"
            return False

        await until(shows, patience)


async def until_pinged(tab: ClientConnection) -> None:
    """The server says that it is there: nothing has come for a while of what the tab follows."""
    async with asyncio.timeout(PATIENCE):
        while json.loads(await tab.recv())["type"] != "ping":
            pass


@contextlib.contextmanager
def standing_still(process: Any) -> Iterator[None]:
    """It takes connections and says nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_a_worker_starts_without_redis_and_takes_messages_once_it_is_there(site) -> None:
    site.redis.stop()
    await site.start(QUICK)
    one, two = site.workers
    async with await one.client() as client, await two.client() as other, await one.socket() as tab:
        conversation = (await client.post("/conversations", json={"title": "old"})).json()["id"]
        assert await refused(client)
        assert await refused(other)
        await refused_on(tab)
        await what_needs_no_redis(one, client, conversation)
        await asyncio.to_thread(site.redis.start)
        reply = await until_taken(client, QUICK)
        assert reply["message"]["text"] == words(20)
        await until_taken(other, QUICK)
        assert (await ask(tab, type="send", message="hello", model=QUICK))["type"] == "accepted"
        await until_nudged(one, two)
        await until_nudged(two, one)


async def test_a_redis_that_goes_silences_no_reader_for_good_and_loses_no_text(site, follower) -> None:
    await site.start("tokens-160-20", "tokens-3000-20", QUICK, CHAT_PING_SECONDS="1")
    one, two = site.workers
    ends = [await start_reply(worker, "tokens-160-20", upstream) for worker in site.workers for upstream in UPSTREAMS]
    stays, unread = [await start_reply(one, "tokens-3000-20") for _ in range(2)]
    at_owner = [await follower(generation, one if at < 2 else two) for at, generation in enumerate(ends)]
    elsewhere = [await follower(generation, two if at < 2 else one) for at, generation in enumerate(ends)]
    async with (
        asyncio.timeout(GIVEN_UP_SECONDS),
        asyncio.TaskGroup() as reading,
        await one.client() as client,
        await two.client() as other,
        await one.socket() as tab,
        await two.socket() as silent,
    ):
        for reader in (*at_owner, *elsewhere):
            reading.create_task(reader.follow())

        async def all_have_text() -> bool:
            return all(reader.cursor > 10 for reader in (*at_owner, *elsewhere))

        await until(all_have_text)
        await silent.send(json.dumps({"type": "follow", "generation": stays, "after": 0}))
        await silent.recv()  # the worker has it from Redis
        await asyncio.to_thread(site.redis.kill)
        killed_at = [reader.cursor for reader in at_owner]
        conversation = (await record_of(one, stays))["conversation"]
        await until(lambda: refused(client))
        await until(lambda: refused(other))
        await refused_on(tab)
        await what_needs_no_redis(one, client, conversation)
        await what_needs_no_redis(two, other, conversation)
        unknown = await other.get(f"/generations/{unread}/events")
        assert (unknown.status_code, unknown.json()["code"]) == (503, "UNAVAILABLE")
        await until_pinged(silent)

        async def owners_readers_go_on() -> bool:
            return all(reader.cursor > cursor + 20 for reader, cursor in zip(at_owner, killed_at, strict=True))

        await until(owners_readers_go_on)
        silent_at = [reader.cursor for reader in elsewhere]
        await asyncio.sleep(1)
        assert [reader.cursor for reader in elsewhere] == silent_at
        await asyncio.to_thread(site.redis.start)
        await until_taken(client, QUICK)
        await until_taken(other, QUICK)
        for generation in (stays, unread):
            stopped = await other.post(f"/generations/{generation}/stop")
            assert stopped.json()["status"] == "cancelled"
        await until_nudged(one, two)
        await until_nudged(two, one)
    for reader in (*at_owner, *elsewhere):
        record = await record_of(one, reader.generation)
        assert (record["status"], record["text"]) == ("completed", words(160))
        assert reader.faults == []
        assert (reader.text, reader.cursor) == (record["text"], record["seq"])
    assert {reader.connections for reader in at_owner} == {1}, "the owner serves its readers from memory"


async def test_a_stop_reaches_the_other_worker_without_redis_too(site) -> None:
    await site.start("tokens-3000-20")
    one, two = site.workers
    generation = await start_reply(one, "tokens-3000-20")
    site.redis.kill()
    async with await two.client() as client:
        stopped = await client.post(f"/generations/{generation}/stop")
    assert stopped.json()["status"] == "cancelled"
    assert stopped.json()["text"] != ""


async def test_a_redis_that_stands_still_is_one_that_is_away(site, follower) -> None:
    await site.start("tokens-200-20", QUICK)
    one, two = site.workers
    generations = [await start_reply(one, "tokens-200-20", upstream) for upstream in UPSTREAMS]
    readers = [await follower(generation, worker) for generation in generations for worker in site.workers]
    async with (
        asyncio.timeout(GIVEN_UP_SECONDS),
        asyncio.TaskGroup() as reading,
        await one.client() as client,
        await two.client() as other,
    ):
        for reader in readers:
            reading.create_task(reader.follow())

        async def all_have_text() -> bool:
            return all(reader.cursor > 10 for reader in readers)

        await until(all_have_text)
        conversation = (await record_of(one, generations[0]))["conversation"]
        with standing_still(site.redis.process):
            stopped = time.monotonic()
            await until(lambda: refused(client), NOTICED_SECONDS)
            await until(lambda: refused(other), NOTICED_SECONDS)
            assert time.monotonic() - stopped < NOTICED_SECONDS
            await what_needs_no_redis(one, client, conversation)
            await what_needs_no_redis(two, other, conversation)
        await until_taken(client, QUICK)
        await until_taken(other, QUICK)
        await until_nudged(one, two)
    for reader in readers:
        record = await record_of(two, reader.generation)
        assert (record["status"], record["text"]) == ("completed", words(200))
        assert (reader.faults, reader.text, reader.cursor) == ([], record["text"], record["seq"])


async def test_sockets_open_at_once_where_redis_takes_connections_and_never_answers(site) -> None:
    """However many people come at the same time."""
    await site.start(QUICK, workers=1)
    [worker] = site.workers
    for user in worker.USERS:
        await worker.headers(user)
    site.redis.kill()
    async with contextlib.AsyncExitStack() as open_sockets, await worker.client() as client:
        open_sockets.enter_context(socket.create_server(("127.0.0.1", site.redis.port)))
        await until(lambda: refused(client))
        await asyncio.sleep(0.5)  # its other connections see it too
        sockets = [await open_sockets.enter_async_context(await worker.socket(user)) for user in worker.USERS]
        pongs = await asyncio.gather(*(ask(one, type="ping") for one in sockets))
    assert [pong["type"] for pong in pongs] == ["pong"] * len(sockets)
