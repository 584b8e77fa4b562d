"""A worker that goes takes nothing with it that anybody has seen; one that comes back too late says nothing more."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.workers.test_across_workers import record_of, start_reply, until, words

pytestmark = pytest.mark.redis

PROMISED_SECONDS = 15.0


async def test_a_killed_workers_replies_end_with_all_that_was_seen(site, follower) -> None:
    await site.start("tokens-3000-50")
    one, two = site.workers
    generations = [await start_reply(one, "tokens-3000-50", upstream) for upstream in ("sse", "websocket") * 10]
    readers = [await follower(generation, *order) for generation in generations for order in ((two,), (one, two))]
    reading = [asyncio.create_task(reader.follow()) for reader in readers]

    async def all_have_text() -> bool:
        return all(reader.cursor > 10 for reader in readers)

    await until(all_have_text)
    one.kill()
    killed = time.monotonic()
    await asyncio.gather(*reading)
    assert time.monotonic() - killed < PROMISED_SECONDS
    for reader in readers:
        record = await record_of(two, reader.generation)
        assert reader.faults == []
        assert reader.terminal["code"] == record["error"]["code"] == "INTERRUPTED"
        assert (reader.text, reader.cursor) == (record["text"], record["seq"])
        assert record["status"] == "interrupted"
        assert record["text"] == words(3000)[: len(record["text"])] != ""


async def test_an_interrupted_reply_goes_on_at_another_worker(site, follower) -> None:
    await site.start("tokens-3000-50", "tokens-20-0")
    one, two = site.workers
    generation = await start_reply(one, "tokens-3000-50")
    reader = await follower(generation, two)
    reading = asyncio.create_task(reader.follow())

    async def has_text() -> bool:
        return reader.cursor > 10

    await until(has_text)
    one.kill()
    await reading
    record = await record_of(two, generation)
    async with await two.client() as client:
        answer = await client.post(f"/messages/{record['message']}/continue", headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        stopped = await client.post(f"/generations/{answer.json()['generation']}/stop")
        assert stopped.json()["status"] == "cancelled"
        messages = (await client.get(f"/conversations/{record['conversation']}/messages")).json()["items"]
        assert messages[-1]["text"] == record["text"] + stopped.json()["text"]


async def test_a_model_that_can_go_on_does_and_nobody_loses_a_word(site, follower) -> None:
    await site.start("tokens-300-30")
    one, two = site.workers
    generations = [await start_reply(one, "tokens-300-30", "resuming") for _ in range(10)]
    other = await start_reply(one, "tokens-300-30", "sse")
    readers = [await follower(generation, *order) for generation in generations for order in ((two,), (one, two))]
    reading = [asyncio.create_task(reader.follow()) for reader in readers]

    async def all_have_text() -> bool:
        return all(reader.cursor > 10 for reader in readers)

    await until(all_have_text)
    one.kill()
    await asyncio.gather(*reading)
    for reader in readers:
        record = await record_of(two, reader.generation)
        assert reader.faults == []
        assert (reader.text, reader.cursor) == (record["text"], record["seq"])
        assert (record["status"], record["text"]) == ("completed", words(300))
        assert reader.takeovers == 1
    assert (await record_of(two, other))["status"] == "interrupted", "its upstream is not known to go on"
    asked = [call.request["messages"][-1] for call in site.upstreams.sse.connections]
    assert sum(message.get("prefix", False) and message["role"] == "assistant" for message in asked) == 10


async def test_a_stop_outlives_the_worker_that_should_have_obeyed(site) -> None:
    await site.start("tokens-3000-50")
    one, two = site.workers
    generation = await start_reply(one, "tokens-3000-50")
    one.process.send_signal(signal.SIGSTOP)
    async with await two.client() as client:
        stopping = asyncio.create_task(client.post(f"/generations/{generation}/stop"))
        await asyncio.sleep(1)
        one.kill()
        assert (await stopping).json()["status"] == "cancelled"


async def test_a_worker_that_slept_through_its_own_death_says_nothing_more(site, follower) -> None:
    await site.start("tokens-3000-20")
    one, two = site.workers
    generations = [await start_reply(one, "tokens-3000-20", upstream) for upstream in ("sse", "websocket") * 4]
    readers = [await follower(generation, worker) for generation in generations for worker in site.workers]
    reading = [asyncio.create_task(reader.follow()) for reader in readers]

    async def all_have_text() -> bool:
        return all(reader.cursor > 10 for reader in readers)

    await until(all_have_text)
    one.process.send_signal(signal.SIGSTOP)
    asleep = time.monotonic()

    async def all_are_ended() -> bool:
        return all([(await record_of(two, generation))["status"] == "interrupted" for generation in generations])

    await until(all_are_ended)
    assert time.monotonic() - asleep < PROMISED_SECONDS
    one.process.send_signal(signal.SIGCONT)
    await asyncio.wait_for(asyncio.gather(*reading), 20)
    for reader in readers:
        record = await record_of(one, reader.generation)
        assert reader.faults == []
        assert (reader.text, reader.cursor) == (record["text"], record["seq"])
        assert reader.terminal["code"] == "INTERRUPTED"
    assert "another worker has taken it" in one.log()
    again = await start_reply(one, "tokens-3000-20")
    async with await two.client() as client:
        assert (await client.post(f"/generations/{again}/stop")).json()["status"] == "cancelled"
