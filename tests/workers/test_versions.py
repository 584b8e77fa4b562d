"""While a release is rolled out, workers of two versions share one database and one Redis, and to a client are one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio

from tests.chat_server import ChatServer
from tests.workers import previous_version
from tests.workers.previous_version import PreviousServer
from tests.workers.test_across_workers import nudge, record_of, start_reply, until, words

pytestmark = pytest.mark.redis

PATIENCE = 40.0
"""Seconds until a wait is given up."""
ENDS, STAYS = "tokens-60-20", "tokens-3000-20"
PROVIDERS = f"""
[providers.sse]
kind = "openai_chat"
base_url = "{{upstreams.sse.url}}"
api_key = "env:TEST_KEY"
models = ["{ENDS}", "{STAYS}"]

[providers.websocket]
kind = "spark"
base_url = "{{upstreams.websocket.url}}"
app_id = "env:TEST_APP"
api_key = "env:TEST_KEY"
api_secret = "env:TEST_SECRET"
models = ["{ENDS}", "{STAYS}"]
"""
"""Nothing that only one of the versions knows."""


@pytest_asyncio.fixture
async def versions(site: Any) -> list[ChatServer]:
    """A worker of this version, which has migrated the database, and one of the version before."""
    commit = previous_version.commit()
    assert commit is not None, "without a version that shares replies there is nothing to compare with"
    new = site.add()
    old = site.add(kind=PreviousServer)
    assert isinstance(old, PreviousServer)
    for worker in (new, old):
        worker.declare(PROVIDERS.format(upstreams=site.upstreams))
    await asyncio.to_thread(old.unpack, commit)
    await asyncio.gather(new.start(), old.start())
    return [new, old]


async def test_each_version_follows_and_stops_what_the_other_runs(versions, follower) -> None:
    for owner, other in (versions, versions[::-1]):
        ends, stays = await start_reply(owner, ENDS), await start_reply(owner, STAYS, "websocket")
        reader, moving, stopped = (
            await follower(ends, other),
            await follower(ends, other, owner),
            await follower(stays, other),
        )
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as reading:
            for one in (reader, moving, stopped):
                reading.create_task(one.follow())

            async def has_text(one: Any = stopped) -> bool:
                return one.cursor > 10

            await until(has_text)
            async with await other.client() as client:
                assert (await client.post(f"/generations/{stays}/pause")).json()["status"] == "paused"
                assert (await client.post(f"/generations/{stays}/resume")).json()["status"] == "streaming"
                answer = (await client.post(f"/generations/{stays}/stop")).json()
        assert (answer["status"], answer["finish_reason"]) == ("cancelled", "cancelled")
        for one in (reader, moving, stopped):
            for worker in versions:
                record = await record_of(worker, one.generation)
                assert (one.faults, one.text, one.cursor) == ([], record["text"], record["seq"])
        assert (await record_of(other, ends))["text"] == words(60)


async def test_a_key_used_at_both_versions_starts_one_reply(versions, site) -> None:
    async with await versions[0].client() as new, await versions[1].client() as old:
        send = {"message": "hello", "key": "the-same", "model": ENDS}
        answers = await asyncio.gather(
            *(client.post("/chat", json=send, headers={"Accept": "application/json"}) for client in (new, old) * 5)
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["generation"]["id"] for answer in answers}) == 1
    assert {answer.json()["message"]["text"] for answer in answers} == {words(60)}
    assert len(site.upstreams.sse.connections) == 1


async def test_each_version_ends_what_the_other_leaves_behind_and_hears_of_its_changes(versions, follower) -> None:
    for killed, left in (versions, versions[::-1]):
        async with await left.socket() as tab, await killed.client() as client:
            await tab.send('{"type": "ping"}')
            assert json.loads(await tab.recv())["type"] == "pong"
            await client.post("/conversations", json={"title": "new"})
            assert (await nudge(tab))["action"] == "created"
        generation = await start_reply(killed, STAYS)
        reader = await follower(generation, left)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as reading:
            reading.create_task(reader.follow())

            async def has_text(one: Any = reader) -> bool:
                return one.cursor > 10

            await until(has_text)
            killed.kill()
        record = await record_of(left, generation)
        assert (record["status"], record["error"]["code"]) == ("interrupted", "INTERRUPTED")
        assert (reader.faults, reader.text, reader.cursor) == ([], record["text"], record["seq"])
        if killed is versions[0]:
            await killed.start()
