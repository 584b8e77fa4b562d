"""A reader: cursors into any number of generations, and one place to wait for what comes next.

A reader holds no events. It is told that there is something, and takes it from the streams when its client has taken
what came before; so a slow client grows nothing. A client that takes no byte for too long is dropped, and may come
back with its cursor.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from chat.engine.stream import Stream
from chat.events import Entry

BATCH_BYTES = 128 * 1024
"""Taken at once from one stream at most: what a client's connection buffers."""

SERVED_CHECK_SECONDS = 0.02


class Delivery(NamedTuple):
    """Entries of one generation in order. `last`: nothing follows. `replay`: it had ended before it was followed."""

    generation: str
    entries: list[Entry]
    last: bool
    replay: bool


class ReaderDropped(Exception):
    """This reader has fallen too far behind; its client may come back with its cursor."""


class _Cursor:
    __slots__ = ("prefix", "replay", "seq", "stream")

    def __init__(self, stream: Stream | None, seq: int, prefix: list[Entry], replay: bool) -> None:
        self.stream = stream
        self.seq = seq
        self.prefix = prefix
        self.replay = replay


class Reader:
    """Made by `Readers.open`. `drop` is called, once, when the client has taken nothing for too long."""

    def __init__(self, drop: Callable[[], None], transport: str = "none") -> None:
        self._drop = drop
        self.transport = transport
        self._cursors: dict[str, _Cursor] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._awake = False
        self._silent = False
        self.writing_since: float | None = None
        self.quiet_since = asyncio.get_running_loop().time()
        self.left = False
        self.ending = False

    # What it follows

    def follow(self, stream: Stream, after: int, prefix: list[Entry], *, replay: bool) -> None:
        """From now on, `prefix` and then everything of `stream` behind `after`."""
        self.unfollow(stream.generation)
        self._cursors[stream.generation] = _Cursor(stream, after, prefix, replay)
        stream.readers.add(self)
        self.wake()

    def replay(self, generation: str, entries: list[Entry]) -> None:
        """Only these entries: those of a generation that the log does not hold any more."""
        self.unfollow(generation)
        self._cursors[generation] = _Cursor(None, 0, entries, True)
        self.wake()

    def unfollow(self, generation: str) -> None:
        cursor = self._cursors.pop(generation, None)
        if cursor is not None and cursor.stream is not None:
            cursor.stream.readers.discard(self)

    def follows(self, generation: str) -> bool:
        return generation in self._cursors

    def __len__(self) -> int:
        return len(self._cursors)

    # Reading

    def wake(self) -> None:
        self._awake = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> list[Delivery]:
        """What is new, as soon as there is something; empty after a time of silence, and when the reader has left or
        is to end. Raises ReaderDropped."""
        loop = asyncio.get_running_loop()
        self.writing_since = None
        deliveries: list[Delivery] = []
        while True:
            if self._awake:
                self._awake = False
                deliveries = self._take_all()
            if deliveries or self._silent or self.left or self.ending:
                break
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._silent = False
        self.writing_since = self.quiet_since = loop.time()
        return deliveries

    def _take_all(self) -> list[Delivery]:
        return [
            delivery
            for generation, cursor in list(self._cursors.items())
            if (delivery := self._take(generation, cursor)) is not None
        ]

    def _take(self, generation: str, cursor: _Cursor) -> Delivery | None:
        entries, cursor.prefix = cursor.prefix, []
        stream = cursor.stream
        if stream is None:
            del self._cursors[generation]
            return Delivery(generation, entries, True, cursor.replay)
        if not stream.holds_all_after(cursor.seq):
            raise ReaderDropped
        tail = stream.after(cursor.seq, BATCH_BYTES)
        if tail:
            cursor.seq = tail[-1].seq
            entries = entries + tail if entries else tail
        at_end = cursor.seq >= stream.last
        if not at_end:
            self._awake = True
        elif stream.ended_at is not None:
            self.unfollow(generation)
            return Delivery(generation, entries, True, cursor.replay)
        return Delivery(generation, entries, False, cursor.replay) if entries else None

    def progress(self) -> None:
        """The client has taken a part of what `read` gave."""
        self.writing_since = asyncio.get_running_loop().time()

    def break_silence(self) -> None:
        """A `read` that waits returns without anything, for a ping."""
        self._silent = True
        self.wake()

    def leave(self) -> None:
        """The client has gone: a `read` that waits returns."""
        self.left = True
        self.wake()

    # Kept by Readers

    def stalled(self, now: float, limit: float) -> bool:
        return self.writing_since is not None and now - self.writing_since > limit

    def drop(self) -> None:
        self._drop()

    def end(self) -> None:
        """The worker is going: the connection is to end cleanly, or, where its client takes nothing, at once."""
        self.ending = True
        if self.writing_since is None:
            self.wake()
        else:
            self._drop()

    def close(self) -> None:
        for generation in list(self._cursors):
            self.unfollow(generation)


class Readers:
    """All readers of this process. `sweep` wakes the quiet ones for a ping and drops the stalled ones."""

    def __init__(self, *, ping_seconds: float = 15.0, stall_seconds: float = 10.0) -> None:
        self._ping_seconds = ping_seconds
        self._stall_seconds = stall_seconds
        self._readers: set[Reader] = set()
        self.dropped = 0

    def open(self, drop: Callable[[], None], transport: str = "none") -> Reader:
        """`transport` is what it is counted under."""
        reader = Reader(drop, transport)
        self._readers.add(reader)
        return reader

    def close(self, reader: Reader) -> None:
        self._readers.discard(reader)
        reader.close()

    def sweep(self, now: float) -> None:
        for reader in list(self._readers):
            if reader.stalled(now, self._stall_seconds):
                self.dropped += 1
                self.close(reader)
                reader.drop()
            elif reader.writing_since is None and now - reader.quiet_since >= self._ping_seconds:
                reader.break_silence()

    async def served(self, seconds: float) -> None:
        """Waits, at most so long, until no reader has anything left to follow."""
        for _ in range(round(seconds / SERVED_CHECK_SECONDS)):
            if not any(len(reader) for reader in self._readers):
                return
            await asyncio.sleep(SERVED_CHECK_SECONDS)

    async def end_all(self, seconds: float) -> None:
        """Has every connection end, and waits, at most so long, until they have."""
        for reader in list(self._readers):
            reader.end()
        for _ in range(round(seconds / SERVED_CHECK_SECONDS)):
            if not self._readers:
                return
            await asyncio.sleep(SERVED_CHECK_SECONDS)

    def __len__(self) -> int:
        return len(self._readers)

    def streams(self) -> Counter[str]:
        """How many replies are followed now, by transport."""
        streams: Counter[str] = Counter()
        for reader in self._readers:
            streams[reader.transport] += len(reader)
        return streams

    def connections(self) -> Counter[str]:
        return Counter(reader.transport for reader in self._readers)
