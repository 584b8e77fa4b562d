"""What one worker runs, the other shows and commands: to a client they are one."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from tests.chat_server import PASSWORD, ChatServer

pytestmark = pytest.mark.redis

LATER = {"Prefer": "respond-async"}


async def until(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def start_reply(worker: ChatServer, model: str, provider: str = "sse") -> str:
    async with await worker.client() as client:
        send = {"message": "hello", "model": model, "provider": provider}
        answer = await client.post("/chat", json=send, headers=LATER)
        assert answer.status_code == 202, answer.text
        generation: str = answer.json()["generation"]
        return generation


async def record_of(worker: ChatServer, generation: str) -> dict:
    async with await worker.client() as client:
        return (await client.get(f"/generations/{generation}")).json()


def words(count: int) -> str:
    return "".join(f"t{n:06d} " for n in range(1, count + 1))


async def test_readers_on_either_worker_get_the_same_and_may_change_sides(site, follower) -> None:
    await site.start("tokens-60-40")
    one, two = site.workers
    generations = [await start_reply(one, "tokens-60-40", upstream) for upstream in ("sse", "websocket") * 3]
    followers = [
        await follower(generation, *workers) for generation in generations for workers in ((one,), (two,), (two, one))
    ]
    await asyncio.gather(*(one.follow() for one in followers))
    for reader in followers:
        record = await record_of(two, reader.generation)
        assert reader.faults == []
        assert (reader.text, reader.cursor) == (record["text"], record["seq"])
        assert record["text"] == words(60)


async def test_a_socket_follows_and_stops_what_the_other_worker_runs(site) -> None:
    await site.start("tokens-3000-50")
    one, two = site.workers
    for upstream in ("sse", "websocket"):
        generation = await start_reply(one, "tokens-3000-50", upstream)
        async with await two.socket() as socket:
            await socket.send(json.dumps({"type": "follow", "generation": generation, "after": 0}))
            text, seqs = "", []
            while True:
                frame = json.loads(await socket.recv())
                if "seq" not in frame:
                    continue
                seqs.append(frame["seq"])
                if frame["type"] == "message" and not frame["isFinal"]:
                    text += frame["delta"]
                if frame["seq"] == 15:
                    await socket.send(json.dumps({"type": "stop", "generation": generation}))
                if frame["type"] == "message" and frame["isFinal"]:
                    break
        assert (frame["finish_reason"], frame["text"]) == ("cancelled", text)
        assert seqs == list(range(1, len(seqs) + 1))
        record = await record_of(two, generation)
        assert (record["status"], record["text"], record["seq"]) == ("cancelled", text, seqs[-1])
        [connection] = getattr(site.upstreams, upstream).connections
        assert connection.closed is not None


async def test_pause_and_resume_from_the_other_worker(site, follower) -> None:
    await site.start("tokens-100-50")
    one, two = site.workers
    generation = await start_reply(one, "tokens-100-50")
    reader = await follower(generation, two)
    reading = asyncio.create_task(reader.follow())
    async with await two.client() as client:

        async def has_text() -> bool:
            return reader.cursor > 10

        await until(has_text)
        assert (await client.post(f"/generations/{generation}/pause")).json()["status"] == "paused"
        await asyncio.sleep(0.3)
        before = reader.cursor
        await asyncio.sleep(0.7)
        assert reader.cursor == before
        assert (await client.post(f"/generations/{generation}/resume")).json()["status"] == "streaming"
        assert (await client.post(f"/generations/{generation}/pause")).json()["status"] == "paused"
        assert (await client.post(f"/generations/{generation}/resume")).json()["status"] == "streaming"
    await reading
    assert (reader.faults, reader.text) == ([], words(100))


async def test_a_stop_that_nobody_was_woken_for_is_found(site) -> None:
    """The word in the row is enough: here it is all there is."""
    await site.start("tokens-3000-50")
    one, two = site.workers
    generation = await start_reply(one, "tokens-3000-50")
    key = generation if site.workers[0].database.url.startswith("postgres") else generation.replace("-", "")
    one.database.execute(f"UPDATE chat_generation SET wanted = 'stop' WHERE id = '{key}'")

    async def is_over() -> bool:
        return (await record_of(two, generation))["status"] == "cancelled"

    await until(is_over)


async def test_a_stranger_commands_and_follows_nothing_on_either_worker(site) -> None:
    await site.start("tokens-3000-50")
    one, two = site.workers
    generation = await start_reply(one, "tokens-3000-50")
    for worker in site.workers:
        async with await worker.client("stranger") as stranger:
            for command in ("stop", "pause", "resume"):
                assert (await stranger.post(f"/generations/{generation}/{command}")).status_code == 404
            assert (await stranger.get(f"/generations/{generation}/events")).status_code == 404
    assert (await record_of(two, generation))["status"] in ("queued", "streaming")


async def test_one_key_at_both_workers_starts_one_generation(site) -> None:
    await site.start("tokens-20-0")
    async with await site.workers[0].client() as one, await site.workers[1].client() as two:
        send = {"message": "hello", "key": "the-same", "model": "tokens-20-0"}
        answers = await asyncio.gather(
            *(
                (one, two)[number % 2].post("/chat", json=send, headers={"Accept": "application/json"})
                for number in range(50)
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["generation"]["id"] for answer in answers}) == 1
    assert len(site.upstreams.sse.connections) == 1


async def test_what_changes_on_one_worker_shows_in_the_sockets_of_the_other(site) -> None:
    await site.start("tokens-3-0")
    one, two = site.workers
    async with await two.socket() as tab, await two.socket("stranger") as stranger, await one.client() as client:
        for socket in (tab, stranger):
            await socket.send('{"type": "ping"}')
            await socket.recv()
        conversation = (await client.post("/conversations", json={"title": "new"})).json()["id"]
        assert await nudge(tab) == {"type": "conversation", "action": "created", "id": conversation}
        await asyncio.sleep(0.6)
        await client.patch(f"/conversations/{conversation}", json={"title": "renamed"})
        assert await nudge(tab) == {"type": "conversation", "action": "updated", "id": conversation, "title": "renamed"}
        await asyncio.sleep(0.6)
        sent = await client.post("/chat", json={"message": "hello", "conversation": conversation}, headers=LATER)
        said = await nudge(tab)
        assert (said["action"], said["generation"]) == ("message", sent.json()["generation"])
        await asyncio.sleep(0.6)
        await client.delete(f"/conversations/{conversation}")
        assert (await nudge(tab))["action"] == "deleted"
        await stranger.send('{"type": "ping"}')
        assert json.loads(await stranger.recv())["type"] == "pong"


async def test_a_deletion_by_staff_shows_at_once_and_ends_the_reply(site) -> None:
    await site.start("tokens-3000-50")
    one, two = site.workers
    rights = "from chat.models import User; User.objects.filter(username='staff').update(is_superuser=True)"
    await asyncio.to_thread(one.manage, "shell", "-v0", "-c", rights)
    async with await two.socket() as tab, httpx.AsyncClient(base_url=one.url, follow_redirects=True) as staff:
        await staff.get("/accounts/login/")
        token = {"csrfmiddlewaretoken": staff.cookies["csrftoken"]}
        await staff.post("/accounts/login/", data={"login": "staff", "password": PASSWORD, **token})
        generation = await start_reply(two, "tokens-3000-50")
        conversation = (await record_of(two, generation))["conversation"]
        assert (await nudge(tab))["action"] == "message"
        await asyncio.sleep(0.6)
        token = {"csrfmiddlewaretoken": staff.cookies["csrftoken"]}
        done = await staff.post(f"/admin/chat/conversation/{conversation}/delete/", data={"post": "yes", **token})
        assert done.status_code == 200, done.text
        assert await nudge(tab) == {"type": "conversation", "action": "deleted", "id": conversation}
        [connection] = site.upstreams.sse.connections

        async def is_closed() -> bool:
            return connection.closed is not None

        await until(is_closed)
        async with await one.client() as client:
            assert (await client.get(f"/generations/{generation}")).status_code == 404


async def nudge(socket) -> dict:
    return json.loads(await asyncio.wait_for(socket.recv(), 10))
