"""A store in memory: the database's rules, without the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from chat.engine.store import Ending, Partial, Store
from chat.events import LIVE, Note, Status


@dataclass
class Record:
    """What is stored of one generation."""

    epoch: int = 1
    status: Status = Status.QUEUED
    seq: int = 0
    text: str = ""
    reasoning: str = ""
    first_token_ms: int | None = None
    notes: Sequence[Note] = ()
    saves: int = 0
    ending: Ending | None = None


@dataclass
class MemoryStore(Store):
    """`failures`: how many of the next calls fail, as a database does that is away. `open`: while it is not set,
    endings wait, as they do on a database that is slow."""

    records: dict[str, Record] = field(default_factory=dict)
    failures: int = 0
    attempts: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def create(self, generation: str, epoch: int = 1) -> Record:
        self.records[generation] = record = Record(epoch)
        return record

    async def save(self, partials: Sequence[Partial]) -> None:
        self._maybe_fail()
        for partial in partials:
            record = self.records[partial.generation]
            if record.status not in LIVE or record.epoch != partial.epoch:
                continue
            record.status, record.seq = partial.status, partial.seq
            record.text += partial.text
            record.reasoning += partial.reasoning
            record.first_token_ms = partial.first_token_ms
            record.notes = record.notes if partial.notes is None else partial.notes
            record.saves += 1

    async def finish(self, ending: Ending) -> bool:
        self.attempts += 1
        self._maybe_fail()
        await self.open.wait()
        record = self.records[ending.generation]
        if record.status not in LIVE or record.epoch != ending.epoch:
            return False
        record.status, record.seq = ending.outcome.status, ending.seq
        record.text, record.reasoning = ending.outcome.text, ending.outcome.reasoning
        record.first_token_ms = ending.outcome.first_token_ms
        record.notes = ending.outcome.notes or record.notes
        record.ending = ending
        return True

    def _maybe_fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
