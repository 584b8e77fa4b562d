"""The event log of many workers: Redis Streams, on one server, behind Sentinels, or in a Cluster.

Readers on the worker that writes a generation are served from its memory, others through a mirror.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

import msgspec

from chat.engine.log import EventLog, Sealed
from chat.engine.memory_log import MemoryLog
from chat.engine.owned_stream import OwnedStream
from chat.engine.redis_keys import FENCE, TERMINAL, Key, entry_id, parse_entry_id
from chat.engine.redis_mirrors import RedisMirrors
from chat.engine.redis_writer import RedisWriter
from chat.engine.stream import Stream
from chat.events import Entry
from chat.redis.address import RedisAddress
from chat.redis.link import Link
from chat.redis.nodes import Nodes
from chat.redis.resp import pack

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""How long the end of a process waits for Redis to take the last events."""

SWEEPS_OF_ALL = 4
"""At each so many sweeps, all streams are looked at: there may be tens of thousands that have ended."""

SEALS_AT_ONCE = 8
"""Of each, all events are read at once."""

SEAL_SECONDS = 600
"""How long a sealed stream stays in Redis if who sealed it goes too."""


class RedisLog(EventLog):
    """The bounds are the memory log's, for this worker's memory and for each generation in Redis. `prefix` begins all
    keys; `interval`: the length of a tick, in seconds."""

    shared = True

    def __init__(
        self,
        address: RedisAddress,
        *,
        prefix: str = "chat",
        stream_bytes: int | None = 2 << 20,
        total_bytes: int | None = 256 << 20,
        keep_seconds: float = 600.0,
        interval: Callable[[], float] = lambda: 0.05,
        may_speak: Callable[[], bool] = lambda: True,
    ) -> None:
        self._prefix = prefix
        self._stream_bytes = stream_bytes
        self._memory = MemoryLog(stream_bytes=stream_bytes, total_bytes=total_bytes, keep_seconds=keep_seconds)
        self._nodes = Nodes(address, ready=self._ready, lost=self._lost)
        self._writer = RedisWriter(
            self._nodes, self._memory, ended_seconds=keep_seconds, may_speak=may_speak, fenced=self._fenced
        )
        self._sweeps = 0
        self._sealing = asyncio.Semaphore(SEALS_AT_ONCE)
        self._leaving: set[asyncio.Task[None]] = set()
        self._mirrors = RedisMirrors(
            self._nodes,
            key_of=self._key,
            single=address.kind != "cluster",
            stream_bytes=stream_bytes,
            interval=interval,
        )

    async def open_connections(self) -> None:
        await self._nodes.open()
        self._mirrors.open()

    @property
    def is_open(self) -> bool:
        return self._nodes.complete

    # Writing

    def open(
        self,
        generation: str,
        snapshot: Callable[[int], Entry],
        *,
        epoch: int = 1,
        after: int = 0,
        fenced: Callable[[], None] | None = None,
    ) -> Stream:
        key = self._key(generation)
        stream = OwnedStream(generation, self._stream_bytes, snapshot, key=key, epoch=epoch, after=after, fenced=fenced)
        # Nobody has written in this epoch: what Redis has of it is known.
        stream.link = self._nodes.link(key.slot)
        self._memory.keep(stream)
        if after:
            self._writer.stand_for(stream)
        return stream

    def append(self, stream: Stream, event: str, data: bytes | bytearray) -> Entry:
        owned = cast(OwnedStream, stream)
        entry = owned.add(event, data)
        if not owned.planned:
            self._writer.plan(owned)
        return entry

    def end(self, stream: Stream) -> None:
        owned = cast(OwnedStream, stream)
        owned.ending = True
        self._writer.plan(owned)

    async def settled(self, stream: Stream) -> None:
        owned = cast(OwnedStream, stream)
        if not owned.pending:
            return
        if owned.settled is None:
            owned.settled = asyncio.get_running_loop().create_future()
        await asyncio.shield(owned.settled)

    async def abandon(self, stream: Stream) -> None:
        """While Redis was there, its readers have seen nothing that is not in Redis."""
        owned = cast(OwnedStream, stream)
        owned.pending, owned.link, owned.fenced = [], None, None
        if owned.settled is not None:
            owned.settled.set_result(None)
            owned.settled = None
        self._writer.forget(owned)
        self._memory.forget(owned)
        try:
            mirror = await self._mirrors.find(owned.generation, owned.last)
        except Exception as error:
            logger.warning("the readers of a taken generation are sent away: %s", type(error).__name__)
            mirror = None
        for reader in list(owned.readers):
            if mirror is not None and mirror.first - 1 <= reader.cursor(owned.generation) <= mirror.last:
                reader.move(mirror)
            else:
                reader.lose(owned.generation)

    def _fenced(self, stream: OwnedStream) -> None:
        fenced, stream.fenced = stream.fenced, None
        if stream.ending:  # its end was not committed, and whoever ran it has gone
            task = asyncio.get_running_loop().create_task(self.abandon(stream), name="redis-abandon")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        elif fenced is not None:
            fenced()

    # Reading

    async def find(self, generation: str, after: int = 0) -> Stream | None:
        stream = self._memory.get(generation)
        return stream if stream is not None else await self._mirrors.find(generation, after)

    def quiet(self, now: float, seconds: float) -> list[Stream]:
        return self._mirrors.quiet(now, seconds)

    # Another worker's, which has gone

    async def seal(self, generation: str, epoch: int) -> Sealed | None:
        key = self._key(generation)
        async with self._sealing:
            replies = await self._mirrors.ask(
                generation,
                pack("XADD", key.stream, entry_id(epoch, 0), FENCE, ""),
                pack("EXPIRE", key.stream, SEAL_SECONDS),
                pack("GET", key.snapshot),
                pack("XRANGE", key.stream, "-", "+"),
            )
            return _put_together(replies[2], replies[3])

    def discard(self, generation: str, epoch: int) -> None:
        key = self._key(generation)
        link = self._nodes.link(key.slot)
        if link is not None:
            # The fence stays: without it, who wrote before could write again.
            fence = entry_id(epoch, 0)
            link.write(pack("XTRIM", key.stream, "MINID", fence) + pack("DEL", key.snapshot), 2, lambda replies: None)

    # Housekeeping

    def sweep(self, now: float) -> None:
        self._memory.sweep(now)
        self._nodes.check()
        self._sweeps += 1
        if self._sweeps % SWEEPS_OF_ALL == 0:
            self._writer.sweep(self._owned(), now)

    @property
    def held_bytes(self) -> int:
        return self._memory.held_bytes + self._mirrors.held_bytes

    async def aclose(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for stream in self._owned():
                    if stream.pending and stream.link is not None:
                        await self.settled(stream)
                if self._leaving:
                    await asyncio.wait(self._leaving)
        for task in self._leaving:
            task.cancel()
        await self._mirrors.aclose()
        await self._nodes.aclose()
        await self._memory.aclose()

    def _owned(self) -> Iterable[OwnedStream]:
        return cast(Iterable[OwnedStream], list(self._memory.streams()))

    def _key(self, generation: str) -> Key:
        return Key(self._prefix, generation)

    def _ready(self) -> None:
        self._writer.resume(self._owned())

    def _lost(self, link: Link) -> None:
        self._writer.lost(link, self._owned())


class _Said(msgspec.Struct, gc=False):
    """Of an event's data, what is text."""

    delta: str = ""
    text: str = ""
    reasoning: str = ""


_said = msgspec.json.Decoder(_Said)


def _put_together(snapshot: bytes | None, entries: list[list[Any]]) -> Sealed | None:
    """All that was said; None where some of it is missing."""
    text: list[str] = []
    reasoning: list[str] = []
    last, ended = 0, False
    if snapshot is not None:
        seq, _, data = snapshot.partition(b" ")
        said, last = _said.decode(data), int(seq)
        text.append(said.text)
        reasoning.append(said.reasoning)
    for number, (field, data) in ((parse_entry_id(one[0])[1], one[1]) for one in entries):
        if number <= last:
            continue
        if number != last + 1:
            return None
        last, ended = number, field.endswith(TERMINAL)
        if field == b"message":
            text.append(_said.decode(data).delta)
        elif field == b"reasoning":
            reasoning.append(_said.decode(data).delta)
    return Sealed("".join(text), "".join(reasoning), last, ended) if last else None
