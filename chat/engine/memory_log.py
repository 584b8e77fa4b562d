"""The event log of a single process: in its memory, gone with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from chat.engine.log import EventLog
from chat.engine.stream import Stream
from chat.events import Entry


class MemoryLog(EventLog):
    """`stream_bytes`: bound of one stream. `total_bytes`: bound of all; then the oldest ended streams go early.
    `keep_seconds`: how long an ended stream stays."""

    def __init__(
        self,
        *,
        stream_bytes: int | None = 2 << 20,
        total_bytes: int | None = 256 << 20,
        keep_seconds: float = 600.0,
    ) -> None:
        self._stream_bytes = stream_bytes
        self._total_bytes = total_bytes
        self._keep_seconds = keep_seconds
        self._streams: dict[str, Stream] = {}
        self._ended: deque[Stream] = deque()
        """In the order of their end."""
        self._held_bytes = 0
        """Counted as they come and go: thousands of ended streams are too many to ask each time."""

    def open(
        self,
        generation: str,
        snapshot: Callable[[int], Entry],
        *,
        epoch: int = 1,
        after: int = 0,
        fenced: Callable[[], None] | None = None,
    ) -> Stream:
        stream = Stream(generation, self._stream_bytes, snapshot)
        stream.first = after + 1
        self.keep(stream)
        return stream

    def keep(self, stream: Stream) -> None:
        """One that was made elsewhere, still empty, in the place of any of an earlier epoch."""
        before = self._streams.get(stream.generation)
        if before is not None:
            self.forget(before)
        self._streams[stream.generation] = stream

    def append(self, stream: Stream, event: str, data: bytes | bytearray) -> Entry:
        before = stream.held
        entry = stream.append(event, data)
        self._held_bytes += stream.held - before
        return entry

    def publish(self, stream: Stream, entries: list[Entry]) -> None:
        """Several that have their numbers."""
        before = stream.held
        stream.publish(entries)
        self._held_bytes += stream.held - before

    def end(self, stream: Stream) -> None:
        stream.ended_at = asyncio.get_running_loop().time()
        stream.snapshot = None
        if stream.limit is not None and stream.bytes > stream.limit:
            # Its ending alone is over the limit. Who reads it now has it; who comes later gets it from the store.
            self.forget(stream)
        else:
            self._ended.append(stream)

    async def find(self, generation: str, after: int = 0) -> Stream | None:
        return self._streams.get(generation)

    def sweep(self, now: float) -> None:
        ended = self._ended
        while ended and (self._is_full() or self._is_old(ended[0], now)):
            self.forget(ended.popleft())

    async def aclose(self) -> None:
        self._streams.clear()
        self._ended.clear()
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def _is_full(self) -> bool:
        return self._total_bytes is not None and self._held_bytes > self._total_bytes

    def _is_old(self, stream: Stream, now: float) -> bool:
        return stream.ended_at is not None and now - stream.ended_at >= self._keep_seconds

    def forget(self, stream: Stream) -> None:
        if self._streams.get(stream.generation) is stream:
            del self._streams[stream.generation]
            self._held_bytes -= stream.held

    def streams(self) -> Iterable[Stream]:
        return self._streams.values()

    def get(self, generation: str) -> Stream | None:
        return self._streams.get(generation)
