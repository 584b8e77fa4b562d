"""The events of one generation as this process holds them: numbered, encoded, bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from chat.events import Entry

KEPT_AFTER_TRIM = 0.75
"""Part of the limit that a trim leaves, so that trims are rare."""

ENTRY_BYTES = 112
"""What an entry takes beside its data: itself, its number, its place, the head of its data."""


class StreamReader(Protocol):
    def wake(self) -> None: ...
    def cursor(self, generation: str) -> int: ...
    def move(self, stream: Stream) -> None: ...
    def lose(self, generation: str) -> None: ...
    def replay(self, generation: str, entries: list[Entry]) -> None: ...


class Stream:
    """Entries from `first` to `last`, their data `bytes` long, at most `limit`: the oldest go first, the newest stays.

    `snapshot` builds, for a live generation, the entry that stands for everything up to `last`.
    """

    __slots__ = ("bytes", "ended_at", "entries", "first", "generation", "limit", "readers", "snapshot")

    def __init__(self, generation: str, limit: int | None, snapshot: Callable[[int], Entry] | None = None) -> None:
        self.generation = generation
        self.limit = limit
        self.entries: list[Entry] = []
        self.first = 1
        self.bytes = 0
        self.ended_at: float | None = None
        self.readers: set[StreamReader] = set()
        self.snapshot = snapshot

    @property
    def last(self) -> int:
        """The newest event that readers may have."""
        return self.first + len(self.entries) - 1

    @property
    def appended(self) -> int:
        """The newest event that there is; some logs let readers have it a moment later."""
        return self.last

    @property
    def held(self) -> int:
        """Bytes of memory that it takes."""
        return self.bytes + ENTRY_BYTES * len(self.entries)

    def append(self, event: str, data: bytes | bytearray) -> Entry:
        entry = Entry(self.first + len(self.entries), event, data)
        # As `publish`, for one: the path of every token.
        self.entries.append(entry)
        self.bytes += len(data)
        if self.limit is not None and self.bytes > self.limit:
            self._trim(self.limit)
        for reader in self.readers:
            reader.wake()
        return entry

    def publish(self, entries: list[Entry]) -> None:
        """Readers may have these; the first one's number is the next."""
        self.entries += entries
        for entry in entries:
            self.bytes += len(entry.data)
        if self.limit is not None and self.bytes > self.limit:
            self._trim(self.limit)
        for reader in self.readers:
            reader.wake()

    def holds_all_after(self, seq: int) -> bool:
        return seq >= self.first - 1

    def after(self, seq: int, max_bytes: int) -> list[Entry]:
        """The entries behind `seq`, at least one if there is any, at most `max_bytes`; `seq` must not be too old."""
        start = seq + 1 - self.first
        assert start >= 0, "the cursor is older than what is held"
        entries = self.entries[start:]
        if len(entries) > 1 and self.bytes > max_bytes:
            size = 0
            for count, entry in enumerate(entries):
                size += len(entry.data)
                if size > max_bytes and count:
                    return entries[:count]
        return entries

    def _trim(self, limit: int) -> None:
        target = limit * KEPT_AFTER_TRIM
        drop = 0
        while self.bytes > target and drop < len(self.entries) - 1:
            self.bytes -= len(self.entries[drop].data)
            drop += 1
        del self.entries[:drop]
        self.first += drop
