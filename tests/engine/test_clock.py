"""When upstreams are read: held by the clock, let go by its ticks, and less often under load."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from chat.engine.clock import Clock, StreamPace


class Connection:
    """A source that counts how often it was told to read again."""

    def __init__(self) -> None:
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


class Log:
    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def started(clock: Clock) -> StreamPace:
    pace = StreamPace(clock)
    pace.started = True
    return pace


async def test_before_the_first_token_nothing_is_held() -> None:
    clock, connection = Clock(), Connection()
    assert not StreamPace(clock).hold(connection)
    clock.close()


async def test_what_is_held_is_resumed_once_by_the_next_tick() -> None:
    clock, connection = Clock(interval=0.01), Connection()
    assert started(clock).hold(connection)
    assert connection.resumed == 0
    await asyncio.sleep(0.1)
    assert connection.resumed == 1, "one hold, one resume; a clock at rest does not tick"


class Broken:
    """A source, and a log, that nobody has thought of."""

    def resume(self) -> None:
        raise MemoryError("on purpose")

    flush = resume


async def test_one_streams_trouble_is_not_the_others() -> None:
    clock, connection, log = Clock(interval=0.01), Connection(), Log()
    for source in (Broken(), connection):
        started(clock).hold(source)
    for flushable in (Broken(), log):
        clock.flush_soon(flushable)
    await asyncio.sleep(0.1)
    assert (connection.resumed, log.flushed) == (1, 1)


async def test_pauses_leave_a_stream_one_place() -> None:
    clock, connection = Clock(interval=0.01), Connection()
    pace = started(clock)
    for _ in range(10):
        pace.hold(connection)
        pace.paused = True
        pace.unpause()  # reads at once, which holds it again
        pace.hold(connection)
    connection.resumed = 0
    await asyncio.sleep(0.1)
    assert connection.resumed == 1


async def test_one_tick_resumes_everything_that_is_held() -> None:
    clock = Clock(interval=0.01)
    connections = [Connection() for _ in range(20)]
    for connection in connections:
        started(clock).hold(connection)
    await asyncio.sleep(0.1)
    assert [connection.resumed for connection in connections] == [1] * 20


async def test_whoever_holds_again_waits_for_the_next_tick() -> None:
    clock = Clock(interval=0.01)
    pace, connection = started(clock), Connection()
    for turn in range(1, 4):
        assert pace.hold(connection)
        await asyncio.sleep(0.05)
        assert connection.resumed == turn


async def test_a_clock_keeps_nothing_that_it_has_let_go() -> None:
    class Watched(StreamPace):
        """Without slots, so that it can be watched."""

    clock = Clock(interval=0.01)
    pace = Watched(clock)
    pace.started = True
    pace.hold(Connection())
    watched = weakref.ref(pace)
    await asyncio.sleep(0.05)
    del pace
    gc.collect()
    assert watched() is None


async def test_a_closed_clock_resumes_nothing() -> None:
    clock, connection = Clock(interval=0.01), Connection()
    started(clock).hold(connection)
    clock.close()
    await asyncio.sleep(0.05)
    assert connection.resumed == 0


# Pauses


async def test_a_paused_source_stays_held_over_ticks_until_it_is_let_go() -> None:
    clock = Clock(interval=0.01)
    pace, connection = started(clock), Connection()
    pace.hold(connection)
    pace.paused = True
    await asyncio.sleep(0.05)
    assert connection.resumed == 0
    pace.unpause()
    assert connection.resumed == 1
    await asyncio.sleep(0.05)
    assert connection.resumed == 1


async def test_a_pause_holds_also_before_the_first_token() -> None:
    clock, connection = Clock(interval=0.01), Connection()
    pace = StreamPace(clock)
    pace.paused = True
    assert pace.hold(connection)
    await asyncio.sleep(0.03)
    assert connection.resumed == 0
    pace.unpause()
    assert connection.resumed == 1
    assert not pace.hold(connection)


async def test_letting_go_what_holds_nothing_does_nothing() -> None:
    pace = StreamPace(Clock())
    pace.paused = True
    pace.unpause()
    assert not pace.paused


# Load


async def test_late_ticks_stretch_the_interval_to_its_limit_and_punctual_ones_take_it_back() -> None:
    clock = Clock(interval=0.05, stretched=0.25)
    loop = asyncio.get_running_loop()
    seen = [clock.interval]
    for _ in range(8):
        clock._due = loop.time() - 1.0  # a tick that comes a second late
        clock._tick(loop)
        seen.append(clock.interval)
    assert clock.lag == pytest.approx(1.0, abs=0.5)
    assert seen == sorted(seen)
    assert seen[1] > seen[0]
    assert clock.interval == 0.25
    for _ in range(40):
        clock._due = loop.time()
        clock._tick(loop)
    assert clock.interval == 0.05


async def test_a_little_lateness_is_tolerated() -> None:
    clock = Clock(interval=10.0, stretched=50.0)
    loop = asyncio.get_running_loop()
    clock._due = loop.time() - 2.0
    clock._tick(loop)
    assert clock.interval == 10.0


# Flushing


async def test_what_is_to_be_flushed_is_flushed_after_this_turn_of_the_loop() -> None:
    clock = Clock()
    logs = [Log() for _ in range(3)]
    for log in logs:
        clock.flush_soon(log)
    assert [log.flushed for log in logs] == [0, 0, 0]
    await asyncio.sleep(0)
    assert [log.flushed for log in logs] == [1, 1, 1]
    await asyncio.sleep(0)
    assert [log.flushed for log in logs] == [1, 1, 1]
    clock.flush_soon(logs[0])
    await asyncio.sleep(0)
    assert [log.flushed for log in logs] == [2, 1, 1]
