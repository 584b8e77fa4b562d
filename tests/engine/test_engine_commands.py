"""Stop, pause and resume: what a person can do to a reply that is on its way."""

from __future__ import annotations

import asyncio

import pytest

from chat.events import Status
from chat.providers.base import Timeouts
from tests.engine.conftest import Client, MakeRig, Rig, data_of, until

ENDLESS = "tokens-100000-100"


async def speaking(rig: Rig, model: str = ENDLESS, provider: str = "sse") -> tuple[str, Client]:
    """A generation in mid-reply, and a client that follows it."""
    generation = rig.start(model, provider=provider)
    client = await rig.follow(generation)
    await until(lambda: client.text)
    return generation, client


# Stop


@pytest.mark.parametrize("provider", ["sse", "websocket"])
async def test_a_stop_keeps_the_text_that_was_seen_and_leaves_the_upstream(rig: Rig, provider: str) -> None:
    generation, client = await speaking(rig, provider=provider)
    seen = client.text
    assert await rig.engine.stop(generation)
    await asyncio.wait_for(client.done, 5)
    final = data_of(client.last)
    assert (client.last.event, final["isFinal"], final["finish_reason"]) == ("message", True, "cancelled")
    assert client.text.startswith(seen)
    assert final["text"] == client.text
    record = rig.store.records[generation]
    assert (record.status, record.text, record.seq) == (Status.CANCELLED, client.text, client.last.seq)
    await until(lambda: rig.simulators[provider].open_connections == 0)
    assert rig.simulators[provider].connections[-1].tokens_sent < 1000


async def test_the_upstream_is_left_before_the_terminal_event(rig: Rig) -> None:
    rig.store.open.clear()
    generation, client = await speaking(rig)
    stopping = asyncio.create_task(rig.engine.stop(generation))
    await until(lambda: rig.simulators["sse"].open_connections == 0)
    assert not client.done.done(), "the commit is held back, and with it the terminal event"
    rig.store.open.set()
    assert await stopping
    await asyncio.wait_for(client.done, 5)


async def test_a_stop_returns_when_the_terminal_event_is_out(rig: Rig) -> None:
    generation, _client = await speaking(rig)
    await rig.engine.stop(generation)
    stream = await rig.log.find(generation)
    assert stream is not None
    assert stream.ended_at is not None
    assert data_of(stream.after(stream.last - 1, 1)[0])["finish_reason"] == "cancelled"


async def test_stops_at_the_same_time_and_afterwards_change_nothing(rig: Rig) -> None:
    generation, client = await speaking(rig)
    assert await asyncio.gather(*(rig.engine.stop(generation) for _ in range(3))) == [True] * 3
    await asyncio.wait_for(client.done, 5)
    await until(lambda: not rig.engine.is_live(generation))
    assert not await rig.engine.stop(generation)
    assert [entry.seq for entry in await rig.events(generation)] == list(range(1, client.last.seq + 1))
    assert rig.store.attempts == 1


async def test_a_stop_before_the_run_has_begun_asks_no_upstream(rig: Rig) -> None:
    generation = rig.start(ENDLESS)
    assert await rig.engine.stop(generation)
    entries = await rig.events(generation)
    assert [entry.event for entry in entries] == ["start", "message"]
    assert data_of(entries[-1])["finish_reason"] == "cancelled"
    assert not rig.simulators["sse"].connections
    assert rig.store.records[generation].status is Status.CANCELLED


async def test_a_stop_before_the_first_token_closes_the_connection(rig: Rig) -> None:
    generation = rig.start("fault-silence")
    await until(lambda: rig.simulators["sse"].requests["fault-silence"])
    await rig.engine.stop(generation)
    assert data_of((await rig.events(generation))[-1])["finish_reason"] == "cancelled"
    await until(lambda: rig.simulators["sse"].open_connections == 0)


async def test_a_stop_that_comes_after_the_end_has_begun_changes_nothing(rig: Rig) -> None:
    rig.store.open.clear()
    generation = rig.start("tokens-3-0")
    await until(lambda: rig.store.attempts)
    stopping = asyncio.create_task(rig.engine.stop(generation))
    await asyncio.sleep(0.05)
    rig.store.open.set()
    await stopping
    assert data_of((await rig.events(generation))[-1])["finish_reason"] == "stop"
    assert rig.store.records[generation].status is Status.COMPLETED


async def test_commands_for_what_does_not_run_here_say_so(rig: Rig) -> None:
    for command in (rig.engine.stop, rig.engine.pause, rig.engine.resume):
        assert not await command("nobody's")


# Pause and resume


@pytest.mark.parametrize("provider", ["sse", "websocket"])
async def test_a_paused_reply_stands_still_and_then_goes_on_whole(rig: Rig, provider: str) -> None:
    generation, client = await speaking(rig, "tokens-80-100", provider)
    assert await rig.engine.pause(generation)
    assert rig.store.records[generation].status is Status.PAUSED
    await until(lambda: client.last.seq == rig.store.records[generation].seq)
    seen = client.text
    await asyncio.sleep(0.4)
    assert client.text == seen
    assert rig.engine.is_live(generation)
    assert await rig.engine.resume(generation)
    assert rig.store.records[generation].status is Status.STREAMING
    await asyncio.wait_for(client.done, 10)
    assert client.text == "".join(f"t{number:06d} " for number in range(1, 81))
    assert data_of(client.last)["finish_reason"] == "stop"


async def test_pausing_twice_and_resuming_twice_change_nothing(rig: Rig) -> None:
    generation, client = await speaking(rig, "tokens-40-100")
    assert [await rig.engine.pause(generation) for _ in range(2)] == [True, True]
    assert [await rig.engine.resume(generation) for _ in range(2)] == [True, True]
    await asyncio.wait_for(client.done, 10)
    assert data_of(client.last)["finish_reason"] == "stop"


async def test_a_pause_before_the_first_token_holds_the_reply_back(rig: Rig) -> None:
    generation = rig.start("tokens-20-100")
    await rig.engine.pause(generation)
    client = await rig.follow(generation)
    await asyncio.sleep(0.3)
    assert client.text == ""
    await rig.engine.resume(generation)
    await asyncio.wait_for(client.done, 10)
    assert client.text == "".join(f"t{number:06d} " for number in range(1, 21))


async def test_a_pause_costs_no_deadline(make_rig: MakeRig) -> None:
    """The upstream speaks for 3 s, of which 1.8 s are paused: more than 2.2 s in all, and less without the pause."""
    rig = await make_rig(timeouts=Timeouts(5.0, 1.0, 1.0, 2.2))
    generation, client = await speaking(rig, "tokens-300-100")
    await rig.engine.pause(generation)
    await asyncio.sleep(1.8)
    await rig.engine.resume(generation)
    await asyncio.wait_for(client.done, 10)
    assert data_of(client.last).get("finish_reason") == "stop"


async def test_a_pause_that_is_forgotten_ends_by_itself(make_rig: MakeRig) -> None:
    rig = await make_rig(pause_seconds=0.2)
    generation, client = await speaking(rig, "tokens-30-100")
    await rig.engine.pause(generation)
    await asyncio.wait_for(client.done, 10)
    assert client.text.endswith("t000030 ")


async def test_a_paused_reply_can_be_stopped(rig: Rig) -> None:
    generation, client = await speaking(rig)
    await rig.engine.pause(generation)
    await asyncio.sleep(0.1)
    seen = client.text
    await asyncio.wait_for(rig.engine.stop(generation), 5)
    await asyncio.wait_for(client.done, 5)
    assert data_of(client.last)["finish_reason"] == "cancelled"
    assert client.text.startswith(seen)
    assert rig.store.records[generation].text == client.text


async def test_a_paused_flood_is_left_in_the_kernel(rig: Rig) -> None:
    generation, client = await speaking(rig, "bytes-40000000")
    await rig.engine.pause(generation)
    simulator = rig.simulators["sse"]
    sent = -1
    while sent != simulator.connections[-1].tokens_sent:
        sent = simulator.connections[-1].tokens_sent
        await asyncio.sleep(0.3)
    assert 0 < sent < 39_000, "the upstream has to wait"
    await rig.engine.stop(generation)
    await asyncio.wait_for(client.done, 10)


# Without readers


async def test_where_the_operator_wants_it_a_reply_that_nobody_reads_is_stopped(make_rig: MakeRig) -> None:
    rig = await make_rig(stop_without_readers=True, disconnect_grace_seconds=0.6)
    read, unread = rig.start(ENDLESS), rig.start(ENDLESS)
    client = await rig.follow(read)
    await asyncio.wait_for(rig.engine.ended(unread), 10)
    assert data_of((await rig.events(unread))[-1])["finish_reason"] == "cancelled"
    assert rig.engine.is_live(read)
    client.reader.leave()
    await asyncio.wait_for(rig.engine.ended(read), 10)


async def test_by_default_a_reply_lives_on_without_readers(rig: Rig) -> None:
    generation, client = await speaking(rig, "tokens-60-100")
    client.reader.leave()
    await client.done
    await asyncio.wait_for(rig.engine.ended(generation), 10)
    assert rig.store.records[generation].status is Status.COMPLETED
