"""What the engine needs of a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chat.engine.generation import Outcome
from chat.events import Note, Status


@dataclass(frozen=True, slots=True)
class Partial:
    """What has come since the last save. `seq`: the last event logged; `notes`: all that are to be stored, where there
    is a new one. An empty one is a heartbeat."""

    generation: str
    epoch: int
    status: Status
    seq: int
    text: str
    reasoning: str
    first_token_ms: int | None
    provider: str
    model: str
    upstream: str
    notes: Sequence[Note] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The terminal transition: `seq` is the terminal event's, `error_words` what a person reads of a failure."""

    generation: str
    epoch: int
    seq: int
    outcome: Outcome
    error_words: str
    finished_at: datetime
    provider: str
    model: str
    upstream: str


class Store(ABC):
    @abstractmethod
    async def save(self, partials: Sequence[Partial]) -> None:
        """Appends the texts and notes the heartbeats, in one transaction; those of an ended generation, or of an
        epoch that is over, change nothing."""

    @abstractmethod
    async def finish(self, ending: Ending) -> bool:
        """Makes the terminal transition, with the whole text; False when it had been made already."""
