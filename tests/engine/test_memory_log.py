"""What the memory log lets go, and when."""

from __future__ import annotations

import asyncio

import pytest

from chat.engine.memory_log import MemoryLog
from chat.engine.reader import Reader
from chat.engine.stream import Stream
from tests.engine.test_log_contract import KEEP_SECONDS, STREAM_BYTES, TOTAL_BYTES, numbers, snapshot


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(stream_bytes=STREAM_BYTES, total_bytes=TOTAL_BYTES, keep_seconds=KEEP_SECONDS)


def ended(log: MemoryLog, generation: str, size: int) -> Stream:
    stream = log.open(generation, snapshot)
    log.append(stream, "message", b"x" * size)
    log.end(stream)
    return stream


async def test_an_ended_stream_stays_for_its_time_and_then_goes(log: MemoryLog) -> None:
    stream = ended(log, "g", 10)
    assert stream.ended_at is not None
    log.sweep(stream.ended_at + KEEP_SECONDS - 1)
    assert await log.find("g") is stream
    log.sweep(stream.ended_at + KEEP_SECONDS + 1)
    assert await log.find("g") is None


async def test_an_ending_over_the_bound_is_for_its_readers_alone(log: MemoryLog) -> None:
    stream, reader = log.open("g", snapshot), Reader(lambda: None)
    reader.follow(stream, 0, [], replay=False)
    log.append(stream, "message", b"x" * (STREAM_BYTES + 1))
    log.end(stream)
    assert await log.find("g") is None, "who comes later gets it from the store"
    (delivery,) = await reader.read()
    assert (numbers(delivery.entries), delivery.last) == ([1], True)
    log.sweep(asyncio.get_running_loop().time() + 2 * KEEP_SECONDS)


async def test_over_the_total_the_oldest_ended_streams_go_early(log: MemoryLog) -> None:
    for name in "abcde":
        ended(log, name, 8_000)
    log.sweep(asyncio.get_running_loop().time())
    assert [name for name in "abcde" if await log.find(name)] == ["c", "d", "e"]


async def test_live_streams_count_to_the_total_and_stay(log: MemoryLog) -> None:
    for name in ("ended-1", "ended-2"):
        ended(log, name, 8_000)
    for name in ("live-1", "live-2", "live-3", "live-4"):
        log.append(log.open(name, snapshot), "message", b"x" * 8_000)
    log.sweep(asyncio.get_running_loop().time())
    held = [name for name in ("ended-1", "ended-2", "live-1", "live-2", "live-3", "live-4") if await log.find(name)]
    assert held == ["live-1", "live-2", "live-3", "live-4"]


async def test_small_events_count_with_what_it_takes_to_hold_them(log: MemoryLog) -> None:
    for name in "abcde":
        stream = log.open(name, snapshot)
        for _ in range(100):
            log.append(stream, "message", b"x")
        log.end(stream)
    assert log.held_bytes > 5 * 100 * 100, "more than their five hundred bytes"
    log.sweep(asyncio.get_running_loop().time())
    assert await log.find("a") is None
    assert await log.find("e") is not None
    assert log.held_bytes <= TOTAL_BYTES
