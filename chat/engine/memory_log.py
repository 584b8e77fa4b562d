"""The event log of a single process: in its memory, gone with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
        self._ended: dict[str, Stream] = {}

    def open(self, generation: str, snapshot: Callable[[int], Entry]) -> Stream:
        stream = Stream(generation, self._stream_bytes, snapshot)
        self._streams[generation] = stream
        return stream

    def append(self, stream: Stream, event: str, data: bytes | bytearray) -> Entry:
        return stream.append(event, data)

    def end(self, stream: Stream) -> None:
        stream.ended_at = asyncio.get_running_loop().time()
        stream.snapshot = None
        if stream.limit is not None and stream.bytes > stream.limit:
            # Its ending alone is over the limit. Who reads it now has it; who comes later gets it from the store.
            del self._streams[stream.generation]
        else:
            self._ended[stream.generation] = stream

    async def find(self, generation: str) -> Stream | None:
        return self._streams.get(generation)

    def sweep(self, now: float) -> None:
        for stream in list(self._ended.values()):
            if stream.ended_at is None or now - stream.ended_at < self._keep_seconds:
                break  # they stand in the order of their end
            self._drop(stream)
        if self._total_bytes is None:
            return
        held = sum(stream.bytes for stream in self._streams.values())
        for stream in list(self._ended.values()):
            if held <= self._total_bytes:
                break
            held -= stream.bytes
            self._drop(stream)

    async def aclose(self) -> None:
        self._streams.clear()
        self._ended.clear()

    @property
    def held_bytes(self) -> int:
        return sum(stream.bytes for stream in self._streams.values())

    def _drop(self, stream: Stream) -> None:
        del self._ended[stream.generation]
        self._streams.pop(stream.generation, None)
