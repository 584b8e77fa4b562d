"""A reader: cursors into any number of generations, and one place to wait for what comes next.

A reader holds no events. It is told that there is something, and takes it from the streams when its client has taken
what came before; so a slow client grows nothing. A client that takes no byte for too long is dropped, and may come
back with its cursor.

One task serves a reader. While it waits in `read`, what comes is written without it, by `Readers`, once a turn of the
event loop for all of them: waking a task for a token costs more than the write. Only where a client does not take what
is written at once, the task is woken, and finishes that write before it goes on: it never writes while another write is
under way, so nothing is reordered, and nobody else waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from chat.engine.begun import Begun
from chat.engine.stream import Stream
from chat.events import Entry

BATCH_BYTES = 128 * 1024
"""Taken at once from one stream at most: what a client's connection buffers."""

Write = Callable[[list["Delivery"]], Coroutine[Any, Any, None]]
"""Writes deliveries to the client; suspends while the client does not take them."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """Entries of one generation in order. `last`: nothing follows. `replay`: it had ended before it was followed."""

    generation: str
    entries: list[Entry]
    last: bool
    replay: bool


class ReaderDropped(Exception):
    """This reader has fallen too far behind; its client may come back with its cursor."""


class _Cursor:
    __slots__ = ("lost", "prefix", "replay", "seq", "stream")

    def __init__(self, stream: Stream | None, seq: int, prefix: list[Entry], replay: bool) -> None:
        self.stream = stream
        self.seq = seq
        self.prefix = prefix
        self.replay = replay
        self.lost = False


class Reader:
    """Made by `Readers.open`. `drop` is called, once, when the client has taken nothing for too long. `write`, where it
    is set, writes what comes while the serving task waits in `read`."""

    def __init__(
        self, drop: Callable[[], None], transport: str = "none", written_soon: Callable[[Reader], None] | None = None
    ) -> None:
        self._drop = drop
        self.transport = transport
        self.write: Write | None = None
        self._written_soon = written_soon
        self._write_planned = False
        self._begun: Begun | None = None
        self._write_failure: Exception | None = None
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

    def cursor(self, generation: str) -> int:
        """The last event that it has taken of what it follows."""
        cursor = self._cursors[generation]
        return cursor.prefix[0].seq - 1 if cursor.prefix else cursor.seq

    def lose(self, generation: str) -> None:
        """What it follows cannot go on here: it is dropped, and its client comes back with its cursors."""
        self._cursors[generation].lost = True
        self.wake()

    def move(self, stream: Stream) -> None:
        """Goes on in another stream of the same generation, which holds what it still needs."""
        cursor = self._cursors[stream.generation]
        self.follow(stream, cursor.seq, cursor.prefix, replay=False)

    def __len__(self) -> int:
        return len(self._cursors)

    # Reading

    def wake(self) -> None:
        """There is something new."""
        self._awake = True
        if self._waiter is None or self._waiter.done() or self._write_planned:
            return
        if self.write is None or self._written_soon is None:
            self._waiter.set_result(None)
        else:
            self._write_planned = True
            self._written_soon(self)

    def _rouse(self) -> None:  # the serving task itself
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def write_now(self, now: float) -> None:
        """Writes what is new in the serving task's place, while that waits; an end is left to it."""
        self._write_planned = False
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # the task has been woken meanwhile, and takes it itself
        self._awake = False
        try:
            deliveries = self._take_live()
            if deliveries:
                assert self.write is not None, "a write was planned"
                self._begun = Begun.step(self.write(deliveries))
        except Exception as error:
            self._write_failure = error
        self.quiet_since = now
        self.writing_since = None if self._begun is None else now
        if self._begun is not None or self._write_failure is not None or self._awake:
            self._rouse()

    def _take_live(self) -> list[Delivery]:
        """Of the streams that go on; the others are still to be taken."""
        deliveries: list[Delivery] = []
        for generation, cursor in self._cursors.items():
            stream = cursor.stream
            if stream is None or stream.ended_at is not None:
                self._awake = True
            elif (delivery := self._take(generation, cursor)) is not None:
                deliveries.append(delivery)
        return deliveries

    async def _finish_write(self) -> None:
        """What `write_now` has begun, or its failure."""
        if self._write_failure is not None:
            failure, self._write_failure = self._write_failure, None
            raise failure
        if self._begun is not None:
            begun, self._begun = self._begun, None
            await begun

    async def read(self) -> list[Delivery]:
        """What is new, as soon as there is something; empty after a time of silence, and when the reader has left or
        is to end. Raises ReaderDropped."""
        loop = asyncio.get_running_loop()
        deliveries: list[Delivery] = []
        while True:
            await self._finish_write()
            self.writing_since = None
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
        stream = cursor.stream
        if stream is None:
            del self._cursors[generation]
            return Delivery(generation, cursor.prefix, True, cursor.replay)
        if cursor.lost or cursor.seq < stream.first - 1:
            raise ReaderDropped
        entries = stream.after(cursor.seq, BATCH_BYTES)
        if entries:
            cursor.seq = entries[-1].seq
        if cursor.prefix:
            entries, cursor.prefix = cursor.prefix + entries, []
        if cursor.seq < stream.last:
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
        self._rouse()

    def leave(self) -> None:
        """The client has gone: a `read` that waits returns."""
        self.left = True
        self._rouse()

    # Kept by Readers

    def stalled(self, now: float, limit: float) -> bool:
        return self.writing_since is not None and now - self.writing_since > limit

    def drop(self) -> None:
        self._drop()

    def end(self) -> None:
        """The worker is going: the connection is to end cleanly, or, where its client takes nothing, at once."""
        self.ending = True
        if self.writing_since is None:
            self._rouse()
        else:
            self._drop()

    def close(self) -> None:
        for generation in list(self._cursors):
            self.unfollow(generation)
        if self._begun is not None:
            self._begun.close()
        self.write = None  # which holds the reader in turn
