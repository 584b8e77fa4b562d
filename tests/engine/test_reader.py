"""A reader's cursors: each event once and in order, bounded batches, and what becomes of the slow."""

from __future__ import annotations

import asyncio

import pytest

from chat.engine.reader import BATCH_BYTES, Delivery, Reader, ReaderDropped
from chat.engine.readers import Readers
from chat.engine.stream import Stream
from chat.events import Entry

KIB = 1024


def never() -> None:
    raise AssertionError("this reader is not to be dropped")


def stream_of(count: int, generation: str = "g", *, limit: int | None = None, ended: bool = False) -> Stream:
    stream = Stream(generation, limit)
    for number in range(1, count + 1):
        stream.append("message", b"%d" % number)
    if ended:
        stream.ended_at = 0.0
    return stream


def seqs(deliveries: list[Delivery], generation: str = "g") -> list[int]:
    return [entry.seq for delivery in deliveries if delivery.generation == generation for entry in delivery.entries]


async def read_to_end(reader: Reader) -> list[Delivery]:
    deliveries: list[Delivery] = []
    while not deliveries or not deliveries[-1].last:
        deliveries += await asyncio.wait_for(reader.read(), 5)
    return deliveries


@pytest.mark.parametrize("after", [0, 1, 3, 4, 5])
async def test_it_gets_everything_behind_its_cursor(after: int) -> None:
    reader = Reader(never)
    reader.follow(stream_of(5, ended=True), after, [], replay=True)
    deliveries = await read_to_end(reader)
    assert seqs(deliveries) == list(range(after + 1, 6))
    assert [(delivery.last, delivery.replay) for delivery in deliveries] == [(True, True)]
    assert not reader.follows("g")


async def test_it_waits_for_what_comes_and_gets_each_event_once() -> None:
    stream, reader = stream_of(2), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    assert seqs(await reader.read()) == [1, 2]
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    stream.append("message", b"3")
    stream.append("message", b"4")
    assert seqs(await asyncio.wait_for(waiting, 5)) == [3, 4]


async def test_what_comes_while_it_writes_is_there_at_its_next_read() -> None:
    stream, reader = stream_of(1), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    await reader.read()
    for number in range(2, 6):
        stream.append("message", b"%d" % number)
    assert seqs(await asyncio.wait_for(reader.read(), 5)) == [2, 3, 4, 5]


async def test_a_snapshot_comes_before_what_follows_it() -> None:
    reader = Reader(never)
    reader.follow(stream_of(5), 3, [Entry(3, "snapshot", b"{}")], replay=False)
    (delivery,) = await reader.read()
    assert [(entry.seq, entry.event) for entry in delivery.entries] == [(3, "snapshot"), (4, "message"), (5, "message")]
    assert not delivery.last


async def test_a_replay_from_elsewhere_is_delivered_whole_and_ends() -> None:
    reader = Reader(never)
    entries = [Entry(4, "snapshot", b"{}"), Entry(5, "message", b"{}")]
    reader.replay("g", entries)
    assert await reader.read() == [Delivery("g", entries, True, True)]
    assert len(reader) == 0


async def test_a_batch_is_bounded_and_the_rest_follows_at_once() -> None:
    stream, reader = Stream("g", None), Reader(never)
    for _ in range(20):
        stream.append("message", b"x" * (20 * KIB))
    stream.ended_at = 0.0
    reader.follow(stream, 0, [], replay=True)
    deliveries = await read_to_end(reader)
    assert seqs(deliveries) == list(range(1, 21))
    assert len(deliveries) > 1
    assert all(sum(len(entry.data) for entry in delivery.entries) <= BATCH_BYTES for delivery in deliveries)
    assert [delivery.last for delivery in deliveries] == [False] * (len(deliveries) - 1) + [True]


async def test_an_event_over_the_bound_is_delivered_alone() -> None:
    stream, reader = stream_of(1), Reader(never)
    stream.append("message", b"x" * (BATCH_BYTES + 1))
    stream.append("message", b"3")
    reader.follow(stream, 0, [], replay=False)
    assert [seqs(await asyncio.wait_for(reader.read(), 5)) for _ in range(3)] == [[1], [2], [3]]


async def test_two_generations_have_a_cursor_each() -> None:
    one, two, reader = stream_of(3, "one"), stream_of(2, "two"), Reader(never)
    reader.follow(one, 1, [], replay=False)
    reader.follow(two, 0, [], replay=False)
    deliveries = await reader.read()
    assert (seqs(deliveries, "one"), seqs(deliveries, "two")) == ([2, 3], [1, 2])
    two.append("message", b"3")
    deliveries = await reader.read()
    assert [delivery.generation for delivery in deliveries] == ["two"]
    assert seqs(deliveries, "two") == [3]
    one.ended_at = 0.0
    one.append("message", b"4")
    (delivery,) = await reader.read()
    assert (delivery.generation, delivery.last) == ("one", True)
    assert (len(reader), reader.follows("two")) == (1, True)


async def test_two_readers_of_a_stream_do_not_disturb_each_other() -> None:
    stream, early, late = stream_of(3), Reader(never), Reader(never)
    early.follow(stream, 0, [], replay=False)
    assert seqs(await early.read()) == [1, 2, 3]
    late.follow(stream, 1, [], replay=False)
    stream.append("message", b"4")
    assert seqs(await early.read()) == [4]
    assert seqs(await late.read()) == [2, 3, 4]


async def test_following_again_moves_the_cursor() -> None:
    stream, reader = stream_of(3), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    reader.follow(stream, 2, [], replay=False)
    assert seqs(await reader.read()) == [3]
    assert stream.readers == {reader}


async def test_whoever_unfollows_gets_nothing_more() -> None:
    stream, reader = stream_of(1), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    reader.unfollow("g")
    reader.unfollow("g")
    stream.append("message", b"2")
    assert stream.readers == set()
    reader.break_silence()
    assert await reader.read() == []


async def test_a_reader_whose_next_event_is_gone_is_dropped() -> None:
    stream, reader = stream_of(1, limit=10 * KIB), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    assert seqs(await reader.read()) == [1]
    for _ in range(20):
        stream.append("message", b"x" * KIB)
    assert stream.first > 2
    with pytest.raises(ReaderDropped):
        await reader.read()


async def test_a_reader_whose_client_has_gone_returns() -> None:
    reader = Reader(never)
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    reader.leave()
    assert await asyncio.wait_for(waiting, 5) == []
    assert reader.left


async def test_a_cancelled_read_loses_nothing() -> None:
    stream, reader = stream_of(0), Reader(never)
    reader.follow(stream, 0, [], replay=False)
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    stream.append("message", b"1")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert seqs(await asyncio.wait_for(reader.read(), 5)) == [1]


# The sweep


async def test_the_sweep_drops_who_takes_nothing_and_nobody_else() -> None:
    readers = Readers(ping_seconds=1000, stall_seconds=10)
    dropped: list[str] = []
    stream = stream_of(1)
    stalled, waiting = readers.open(lambda: dropped.append("stalled")), readers.open(lambda: dropped.append("waiting"))
    for reader in (stalled, waiting):
        reader.follow(stream, 0, [], replay=False)
        await reader.read()
    again = asyncio.create_task(waiting.read())
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    readers.sweep(now + 9)
    assert dropped == []
    for _ in range(2):
        readers.sweep(now + 11)
    assert dropped == ["stalled"]
    assert (readers.dropped, len(readers), stream.readers) == (1, 1, {waiting})
    stream.append("message", b"2")
    assert seqs(await asyncio.wait_for(again, 5)) == [2]


async def test_a_client_that_takes_a_part_is_not_stalled() -> None:
    readers = Readers(stall_seconds=10)
    reader = readers.open(never)
    reader.follow(stream_of(1), 0, [], replay=False)
    await reader.read()
    assert reader.writing_since is not None
    reader.writing_since -= 11
    reader.progress()
    readers.sweep(asyncio.get_running_loop().time())
    assert len(readers) == 1


async def test_the_sweep_wakes_the_quiet_for_a_ping() -> None:
    readers = Readers(ping_seconds=15, stall_seconds=1000)
    reader = readers.open(never)
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    readers.sweep(now + 14)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    readers.sweep(now + 16)
    assert await asyncio.wait_for(waiting, 5) == []


async def test_closing_a_reader_lets_its_streams_go() -> None:
    readers, stream = Readers(), stream_of(1)
    reader = readers.open(never)
    reader.follow(stream, 0, [], replay=False)
    readers.close(reader)
    assert (len(readers), stream.readers, len(reader)) == (0, set(), 0)


# The end of a worker


async def test_at_the_end_a_waiting_reader_returns_and_a_stuck_one_is_dropped() -> None:
    readers = Readers()
    dropped: list[str] = []
    waiting, stuck = readers.open(lambda: dropped.append("waiting")), readers.open(lambda: dropped.append("stuck"))

    async def serve(reader: Reader) -> None:
        while not reader.ending:
            assert await reader.read() == []
        readers.close(reader)

    serving = asyncio.create_task(serve(waiting))
    await asyncio.sleep(0)
    stuck.follow(stream_of(1), 0, [], replay=False)
    await stuck.read()
    await readers.end_all(0.1)
    await asyncio.wait_for(serving, 5)
    assert dropped == ["stuck"]
    assert stuck.ending


async def test_the_end_waits_until_readers_have_their_last_events() -> None:
    readers, stream = Readers(), stream_of(1)
    reader = readers.open(never)
    reader.follow(stream, 0, [], replay=False)
    served = asyncio.create_task(readers.served(5))
    await asyncio.sleep(0.03)
    assert not served.done()
    stream.ended_at = 0.0
    await reader.read()
    await asyncio.wait_for(served, 2)
