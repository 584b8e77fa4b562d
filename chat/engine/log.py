"""The event log: what carries every reply from the generation that writes it to all who read it.

The writer is one: the worker that owns the generation. It opens a stream, appends events, and ends it with the
terminal one. Readers find a stream and follow it by cursor. A log may let events go: of an ended generation after a
while, of any when it grows too large; then a snapshot from the store stands for them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from chat.engine.stream import Stream
from chat.events import Entry


class EventLog(ABC):
    @abstractmethod
    def open(self, generation: str, snapshot: Callable[[int], Entry]) -> Stream:
        """A new stream for a generation that this worker owns; `snapshot(seq)` builds the entry for old cursors."""

    @abstractmethod
    def append(self, stream: Stream, event: str, data: bytes | bytearray) -> Entry:
        """Numbers and holds one event, and wakes the stream's readers. Never waits."""

    @abstractmethod
    def end(self, stream: Stream) -> None:
        """The terminal event has been appended: the stream stays for a while, then goes."""

    @abstractmethod
    async def find(self, generation: str) -> Stream | None:
        """The stream of a generation, live or lately ended; None when the log does not hold it (any more)."""

    @abstractmethod
    def sweep(self, now: float) -> None:
        """Lets go what has been held long enough; called once in a while with the loop's time, in seconds."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """Memory that the events take which this process holds."""

    @abstractmethod
    async def aclose(self) -> None: ...
