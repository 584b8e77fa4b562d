"""How a worker goes: nothing is lost, every reader is told, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from chat.errors import ErrorCode, Unavailable
from chat.events import Status
from tests.engine.conftest import MakeRig, Rig, data_of, until

ENDLESS = "tokens-100000-100"


async def test_a_draining_worker_refuses_new_work_and_lets_the_old_finish(rig: Rig) -> None:
    rig.engine.check_open()
    generation = rig.start("tokens-60-100")
    client = await rig.follow(generation)
    draining = asyncio.create_task(rig.engine.drain(10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refusal:
        rig.engine.check_open()
    assert (refusal.value.status, refusal.value.code) == (503, "UNAVAILABLE")
    assert refusal.value.retry_after is not None
    await asyncio.wait_for(draining, 10)
    assert client.done.done()
    assert data_of(client.last)["finish_reason"] == "stop"
    assert rig.store.records[generation].status is Status.COMPLETED


@pytest.mark.parametrize("provider", ["sse", "websocket"])
async def test_what_does_not_finish_in_time_is_interrupted_with_its_text(rig: Rig, provider: str) -> None:
    generation = rig.start(ENDLESS, provider=provider)
    client = await rig.follow(generation)
    await until(lambda: client.text)
    await asyncio.wait_for(rig.engine.drain(0.1), 10)
    await asyncio.wait_for(client.done, 5)
    assert (client.last.event, data_of(client.last)["code"]) == ("error", ErrorCode.INTERRUPTED)
    record = rig.store.records[generation]
    assert (record.status, record.text, record.seq) == (Status.INTERRUPTED, client.text, client.last.seq)
    await until(lambda: rig.simulators[provider].open_connections == 0)


async def test_a_paused_and_an_unbegun_reply_are_interrupted_too(rig: Rig) -> None:
    paused = rig.start(ENDLESS)
    client = await rig.follow(paused)
    await until(lambda: client.text)
    await rig.engine.pause(paused)
    unbegun = rig.start(ENDLESS)
    await asyncio.wait_for(rig.engine.drain(0), 10)
    assert [rig.store.records[generation].status for generation in (paused, unbegun)] == [Status.INTERRUPTED] * 2
    assert rig.store.records[paused].text == client.text


async def test_a_reply_that_was_stopped_stays_stopped(rig: Rig) -> None:
    rig.store.open.clear()
    generation = rig.start(ENDLESS)
    client = await rig.follow(generation)
    await until(lambda: client.text)
    stopping = asyncio.create_task(rig.engine.stop(generation))
    await until(lambda: rig.store.attempts)
    draining = asyncio.create_task(rig.engine.drain(0))
    await asyncio.sleep(0.05)
    rig.store.open.set()
    await asyncio.wait_for(asyncio.gather(stopping, draining), 10)
    assert rig.store.records[generation].status is Status.CANCELLED


async def test_a_drain_without_work_ends_the_readers_that_wait(rig: Rig) -> None:
    generation = rig.start("tokens-1-0")
    await rig.engine.ended(generation)
    reader = rig.engine.readers.open(lambda: None)

    async def serve() -> None:
        while not reader.ending:
            await reader.read()
        rig.engine.readers.close(reader)

    serving = asyncio.create_task(serve())
    await asyncio.wait_for(rig.engine.drain(10), 5)
    await asyncio.wait_for(serving, 5)
    assert len(rig.engine.readers) == 0


async def test_nothing_is_left_behind(make_rig: MakeRig) -> None:
    before = asyncio.all_tasks()
    rig = await make_rig()
    generations = [rig.start(model, provider=p) for model in (ENDLESS, "demo") for p in ("sse", "websocket")]
    clients = [await rig.follow(generation) for generation in generations]
    await until(lambda: all(client.text for client in clients))
    await asyncio.wait_for(rig.engine.aclose(), 10)
    await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), 5)
    assert {rig.store.records[generation].status for generation in generations} == {Status.INTERRUPTED}
    await rig.registry.aclose()
    for simulator in rig.simulators.values():
        await simulator.aclose()

    def left() -> set[asyncio.Task[object]]:
        return {task for task in asyncio.all_tasks() - before if not task.done()}

    await until(lambda: not left())


async def test_closing_twice_is_harmless(rig: Rig) -> None:
    await rig.engine.aclose()
    await rig.engine.aclose()
    assert rig.engine.draining
