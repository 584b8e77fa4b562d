"""All readers of a process: who writes to those whose tasks wait, who wakes the quiet ones, who drops the stalled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from chat.engine.reader import Reader

SERVED_CHECK_SECONDS = 0.02


class Readers:
    """All readers of this process: writes to those whose tasks wait. `sweep` wakes the quiet ones for a ping and drops
    the stalled ones."""

    def __init__(self, *, ping_seconds: float = 15.0, stall_seconds: float = 10.0) -> None:
        self._ping_seconds = ping_seconds
        self._stall_seconds = stall_seconds
        self._readers: set[Reader] = set()
        self._to_write: list[Reader] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = False
        self.dropped = 0

    def open(self, drop: Callable[[], None], transport: str = "none") -> Reader:
        """`transport` is what it is counted under. Once all are to end, a new one ends with what there is to read."""
        self._loop = asyncio.get_running_loop()  # kept: asking for it costs a system call
        reader = Reader(drop, transport, self._write_soon)
        self._readers.add(reader)
        if self._ending:
            reader.end()
        return reader

    def close(self, reader: Reader) -> None:
        self._readers.discard(reader)
        reader.close()

    def _write_soon(self, reader: Reader) -> None:
        if not self._to_write:
            assert self._loop is not None, "there is a reader"
            self._loop.call_soon(self._write_all)
        self._to_write.append(reader)

    def _write_all(self) -> None:
        assert self._loop is not None, "there is a reader"
        now, readers, self._to_write = self._loop.time(), self._to_write, []
        for reader in readers:
            reader.write_now(now)

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
        """Has every connection end, later ones too, and waits, at most so long, until those that are there have."""
        self._ending = True
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
