"""The event log: what carries every reply from the generation that writes it to all who read it.

The writer is one: the worker that owns the generation. It opens a stream, appends events, and ends it with the
terminal one. Readers find a stream and follow it by cursor. A log may let events go: of an ended generation after a
while, of any when it grows too large; then a snapshot from the store stands for them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from chat.engine.stream import Stream
from chat.errors import LOG_AWAY, Unavailable
from chat.events import Entry

RETRY_SECONDS = 1
"""What a client that is refused while the log is away is told to wait."""


def _nobody() -> None:
    """There is nobody to be told."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a log holds of a generation whose worker has gone: all that was said, the last event's number, and whether
    that is the terminal one."""

    text: str
    reasoning: str
    last: int
    ended: bool


class EventLog(ABC):
    """`open_connections` before use, `aclose` at the end."""

    shared = False
    """Whether other workers read it too."""

    async def open_connections(self) -> None:
        """Returns also where what it needs is not there yet."""

    @property
    def is_open(self) -> bool:
        """Whether new generations can be logged."""
        return True

    def check_open(self) -> None:
        """Raises Unavailable while they cannot."""
        if not self.is_open:
            raise Unavailable(LOG_AWAY, retry_after=RETRY_SECONDS)

    @abstractmethod
    def open(
        self,
        generation: str,
        snapshot: Callable[[int], Entry],
        *,
        epoch: int = 1,
        after: int = 0,
        fenced: Callable[[], None] = _nobody,
    ) -> Stream:
        """A new stream for a generation that this worker owns; `snapshot(seq)` builds the entry for old cursors.
        `after`: the last event of earlier epochs. `fenced` is called when a later epoch has taken the generation."""

    @abstractmethod
    def append(self, stream: Stream, event: str, data: bytes | bytearray) -> Entry:
        """Numbers and holds one event, and wakes the stream's readers. Never waits."""

    @abstractmethod
    def end(self, stream: Stream) -> None:
        """The terminal event has been appended: the stream stays for a while, then goes."""

    async def settled(self, stream: Stream) -> None:
        """Returns once readers everywhere may have what was appended, or can do without."""

    async def abandon(self, stream: Stream) -> None:
        """A later epoch writes this generation's events: the readers of this stream go on with those."""

    @abstractmethod
    async def find(self, generation: str, after: int = 0) -> Stream | None:
        """The stream of a generation, live or lately ended, if it can serve a reader behind `after` or has a snapshot
        for it; None when the log does not hold it (any more). Raises Unavailable when it cannot be asked."""

    async def seal(self, generation: str, epoch: int) -> Sealed | None:
        """Of a generation that this worker has taken with this epoch: nothing of an older epoch is logged from now on.
        None when the log holds nothing whole. Raises Unavailable."""
        return None

    def discard(self, generation: str, epoch: int) -> None:
        """Of one that was sealed with this epoch: what it holds of it is not what was stored."""

    def quiet(self, now: float, seconds: float) -> list[Stream]:
        """Live streams of other workers that somebody here reads and that have brought nothing for so long."""
        return []

    @abstractmethod
    def sweep(self, now: float) -> None:
        """Lets go what has been held long enough; called once in a while with the loop's time, in seconds."""

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """Memory that the events take which this process holds."""

    @abstractmethod
    async def aclose(self) -> None: ...
