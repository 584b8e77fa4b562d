"""The one clock of a process: it governs when upstreams are read, and so when anything is parsed, logged and written.

A connection that has been read hands itself over and stays unread until the next tick; then all of them are resumed
together, what came is taken in one go, and each generation's deltas leave as one event. At rest a tick comes every
50 ms. When the loop lags, ticks stretch: overload makes the text coarser, never later and later. A process without
live streams has no ticks.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from chat.providers.base import Source

logger = logging.getLogger(__name__)

LAG_TOLERATED = 0.5
"""Part of an interval by which a tick may be late before the interval grows."""

SECONDS_PER_STREAM = 0.000625
"""What a stream adds to the interval while it is below the crowded one: with eighty streams a tick still comes every
50 ms, with two hundred every 125 ms. Under 100 ms, tokens at reading speed hardly merge, and each costs a write of its
own; eight pieces of text a second still read as a flow."""

GROWTH = 1.5
RECOVERY = 0.9
"""How fast the interval follows the load: up within a few ticks, down within some twenty."""


class Flushable(Protocol):
    def flush(self) -> None: ...


class Clock:
    """`hold` gives it a pace to resume at the next tick; `flush_soon` has something flushed once this batch is read."""

    def __init__(self, interval: float = 0.05, stretched: float = 0.25, crowded: float = 0.125) -> None:
        self._base = interval
        self._crowded = max(crowded, interval)
        self._stretched = stretched
        self.interval = interval
        self.lag = 0.0
        self.now = 0.0
        """The loop's time when this batch began to be flushed: near enough for whoever flushes."""
        self._held: list[StreamPace] = []
        self._dirty: list[Flushable] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self._flush_planned = False

    def hold(self, pace: StreamPace) -> None:
        self._held.append(pace)
        if self._timer is None:
            loop = self._running_loop()
            self._due = max(self._due + self.interval, loop.time())
            self._timer = loop.call_at(self._due, self._tick, loop)

    def flush_soon(self, flushable: Flushable) -> None:
        """Flushes after everything that this turn of the loop has read; a flushable says itself if it is planned."""
        self._dirty.append(flushable)
        if not self._flush_planned:
            self._flush_planned = True
            self._running_loop().call_soon(self._flush)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Kept: asking for it costs a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        self.lag = now - self._due
        if self.lag > self.interval * LAG_TOLERATED:
            self.interval = min(self.interval * GROWTH, self._stretched)
        else:
            at_ease = min(max(self._base, len(self._held) * SECONDS_PER_STREAM), self._crowded)
            self.interval = max(self.interval * RECOVERY, at_ease)
        self._due = now
        held, self._held = self._held, []
        for pace in held:
            pace.held = False
            try:
                pace.tick()
            except Exception:  # one stream's trouble is not the others'
                logger.exception("a stream cannot be read")

    def _flush(self) -> None:
        self._flush_planned = False
        self.now = self._running_loop().time()
        dirty, self._dirty = self._dirty, []
        for flushable in dirty:
            try:
                flushable.flush()
            except Exception:
                logger.exception("a stream's events cannot be logged")


class StreamPace:
    """One generation's pace: free until `started`, then by the clock; not at all while `paused`."""

    __slots__ = ("_clock", "_source", "held", "paused", "started")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._source: Source | None = None
        self.started = False
        self.paused = False
        self.held = False
        """It has its place in the clock's next tick."""

    def hold(self, source: Source) -> bool:
        if self.paused:
            self._source = source
            return True
        if not self.started:
            return False
        self._source = source
        if not self.held:
            self.held = True
            self._clock.hold(self)
        return True

    def tick(self) -> None:
        if not self.paused and self._source is not None:
            source, self._source = self._source, None
            source.resume()

    def unpause(self) -> None:
        self.paused = False
        self.tick()
