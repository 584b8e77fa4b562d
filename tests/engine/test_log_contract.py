"""What every event log owes the engine."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from chat.engine.log import EventLog
from chat.engine.memory_log import MemoryLog
from chat.engine.reader import Reader
from chat.engine.redis_log import RedisLog
from chat.engine.stream import KEPT_AFTER_TRIM
from chat.events import Entry
from chat.redis.address import parse
from tests.external_services import REDIS_URL, usable

STREAM_BYTES = 10_000
TOTAL_BYTES = 30_000
KEEP_SECONDS = 100.0

BOUNDS = {"stream_bytes": STREAM_BYTES, "total_bytes": TOTAL_BYTES, "keep_seconds": KEEP_SECONDS}
LOGS: dict[str, Callable[[], EventLog]] = {"memory": lambda: MemoryLog(**BOUNDS)}
if usable(REDIS_URL):
    LOGS["redis"] = lambda: RedisLog(parse(REDIS_URL), prefix=f"test-{uuid.uuid4().hex}", **BOUNDS)


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.redis] if name == "redis" else []) for name in LOGS])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    log = LOGS[request.param]()
    await log.open_connections()
    log.check_open()
    yield log
    await log.aclose()


def snapshot(seq: int) -> Entry:
    return Entry(seq, "snapshot", b"{}")


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


async def test_events_are_numbered_from_one_without_a_gap(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    assert (stream.generation, stream.last) == ("g", 0)
    entries = [log.append(stream, "message", b"%d" % number) for number in range(1, 201)]
    assert numbers(entries) == list(range(1, 201))
    await log.settled(stream)
    assert stream.last == 200
    assert stream.after(0, TOTAL_BYTES) == entries


async def test_streams_are_numbered_apart(log: EventLog) -> None:
    one, two = log.open("one", snapshot), log.open("two", snapshot)
    appended = [log.append(stream, "message", b"x").seq for stream in (one, two, one, two, two)]
    assert appended == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("after", [0, 1, 4, 5])
async def test_reading_starts_behind_the_cursor(log: EventLog, after: int) -> None:
    stream = log.open("g", snapshot)
    for number in range(1, 6):
        log.append(stream, "message", b"%d" % number)
    await log.settled(stream)
    entries = stream.after(after, TOTAL_BYTES)
    assert numbers(entries) == list(range(after + 1, 6))
    assert [entry.data for entry in entries] == [b"%d" % number for number in range(after + 1, 6)]


async def test_a_read_is_bounded_but_never_empty_handed(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    for _ in range(5):
        log.append(stream, "message", b"x" * 100)
    await log.settled(stream)
    assert numbers(stream.after(0, 250)) == [1, 2]
    assert numbers(stream.after(2, 1)) == [3]


async def test_a_stream_is_bounded_and_its_newest_events_stay(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    for number in range(1, 501):
        log.append(stream, "message", b"%0100d" % number)
        await log.settled(stream)
        assert stream.bytes <= STREAM_BYTES
    assert (stream.last, stream.appended) == (500, 500)
    assert stream.first > 1
    assert stream.bytes >= STREAM_BYTES * KEPT_AFTER_TRIM - 100
    kept = stream.after(stream.first - 1, STREAM_BYTES)
    assert numbers(kept) == list(range(stream.first, 501))
    assert [int(entry.data) for entry in kept] == numbers(kept)
    assert stream.bytes == sum(len(entry.data) for entry in kept)


async def test_it_knows_which_cursors_it_can_serve(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    assert stream.holds_all_after(0)
    for _ in range(200):
        log.append(stream, "message", b"x" * 100)
    await log.settled(stream)
    assert stream.first > 2
    assert not stream.holds_all_after(0)
    assert not stream.holds_all_after(stream.first - 2)
    assert stream.holds_all_after(stream.first - 1)
    assert stream.holds_all_after(stream.last)


async def test_an_event_larger_than_the_bound_is_held_all_the_same(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    log.append(stream, "message", b"small")
    log.append(stream, "message", b"x" * (STREAM_BYTES + 1))
    await log.settled(stream)
    assert numbers(stream.after(1, 1)) == [2]


async def test_a_stream_is_found_live_and_ended_and_nothing_else_is(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    assert await log.find("g") is stream
    log.append(stream, "message", b"x")
    log.end(stream)
    await log.settled(stream)
    found = await log.find("g")
    assert found is not None
    assert found.ended_at is not None
    assert numbers(found.after(0, 100)) == [1]
    assert await log.find("another") is None


async def test_a_live_stream_offers_a_snapshot_and_an_ended_one_does_not(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    assert stream.snapshot is not None
    assert stream.snapshot(3) == Entry(3, "snapshot", b"{}")
    log.append(stream, "message", b"x")
    log.end(stream)
    await log.settled(stream)
    assert stream.snapshot is None, "its text is the store's to tell"


async def test_readers_are_woken_by_each_event(log: EventLog) -> None:
    def never() -> None:
        raise AssertionError("not to be dropped")

    stream = log.open("g", snapshot)
    readers = [Reader(never) for _ in range(3)]
    for reader in readers:
        reader.follow(stream, 0, [], replay=False)
    waiting = [asyncio.create_task(reader.read()) for reader in readers]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    log.append(stream, "message", b"x")
    for deliveries in await asyncio.wait_for(asyncio.gather(*waiting), 5):
        assert [numbers(delivery.entries) for delivery in deliveries] == [[1]]


async def test_a_live_stream_never_goes(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    log.append(stream, "message", b"x")
    await log.settled(stream)
    log.sweep(asyncio.get_running_loop().time() + 100 * KEEP_SECONDS)
    assert await log.find("g") is stream


async def test_a_reader_that_holds_a_stream_which_has_gone_reads_it_to_its_end(log: EventLog) -> None:
    stream = log.open("g", snapshot)
    log.append(stream, "message", b"x" * 10)
    log.end(stream)
    await log.settled(stream)
    reader = Reader(lambda: None)
    reader.follow(stream, 0, [], replay=True)
    assert stream.ended_at is not None
    log.sweep(stream.ended_at + KEEP_SECONDS + 1)
    (delivery,) = await reader.read()
    assert (numbers(delivery.entries), delivery.last) == ([1], True)


async def test_what_is_held_is_counted_as_it_comes_and_goes(log: EventLog) -> None:
    live, kept, over = (log.open(name, snapshot) for name in ("live", "kept", "over"))
    for _ in range(500):
        log.append(live, "message", b"x" * 100)
    log.append(kept, "message", b"x" * 1_000)
    log.end(kept)
    for stream in (live, kept):
        await log.settled(stream)
    before = log.held_bytes
    assert before == live.held + kept.held
    log.append(over, "message", b"x" * (STREAM_BYTES + 1))
    log.end(over)
    await log.settled(over)
    assert log.held_bytes == before, "what is not kept is not held"
    assert kept.ended_at is not None
    log.sweep(kept.ended_at + KEEP_SECONDS)
    assert log.held_bytes == live.held
