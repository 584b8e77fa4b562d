"""A stream that this worker writes for readers everywhere: they may have an event once the shared log has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from chat.engine.redis_keys import Key
from chat.engine.stream import Stream
from chat.events import Entry
from chat.redis.link import Link
from chat.redis.resp import head_of_append


class OwnedStream(Stream):
    """`pending`: what readers may not have yet. `sent`: the last event that was written to `link`; without a link, what
    Redis has is not known; `syncing` is being asked, and with `suspect` there may be gaps in it. `ending`: the terminal
    event has been appended; `complete`: and Redis has had it all."""

    __slots__ = (
        "complete", "ending", "epoch", "fenced", "head", "key", "link", "pending", "planned", "renewed_at", "sent",
        "settled", "suspect", "syncing",
    )  # fmt: skip

    def __init__(
        self,
        generation: str,
        limit: int | None,
        snapshot: Callable[[int], Entry],
        *,
        key: Key,
        epoch: int,
        after: int,
        fenced: Callable[[], None] | None,
    ) -> None:
        super().__init__(generation, limit, snapshot)
        self.first = after + 1
        self.key = key
        self.epoch = epoch
        self.fenced = fenced
        self.head = head_of_append(key.stream)
        self.pending: list[Entry] = []
        self.link: Link | None = None
        self.sent = after
        self.syncing: Link | None = None
        self.planned = self.ending = self.complete = self.suspect = False
        self.renewed_at = -inf
        self.settled: asyncio.Future[None] | None = None

    @property
    def appended(self) -> int:
        return self.last + len(self.pending)

    def add(self, event: str, data: bytes | bytearray) -> Entry:
        entry = Entry(self.appended + 1, event, data)
        self.pending.append(entry)
        return entry

    def take_pending(self, up_to: int) -> list[Entry]:
        """What readers may have from now on."""
        count = max(0, up_to - self.last)
        entries, self.pending = self.pending[:count], self.pending[count:]
        return entries

    def unsent(self) -> list[Entry]:
        """Behind `sent`, of what is still held."""
        if self.sent >= self.last:
            return self.pending[self.sent - self.last :]
        return self.entries[max(0, self.sent + 1 - self.first) :] + self.pending
