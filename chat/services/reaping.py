"""The replies of workers that have gone: taken, told to their end, and kept with all that the log holds of them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from django.db import connections
from django.db.models import F, Q

from chat.engine.generation import CHARACTERS_PER_TOKEN, Outcome
from chat.engine.log import EventLog, Sealed
from chat.engine.store import Ending, Store
from chat.engine.terminal import snapshot_of, terminal_event
from chat.errors import ErrorCode, GenerationFailed, Unavailable
from chat.events import LOG_VERSION, FinishReason, Note, Status, Usage
from chat.models import Generation
from chat.observation import Lost
from chat.services import notes
from chat.services.database import Database
from chat.services.failure_words import words
from chat.services.records import generation_texts

logger = logging.getLogger(__name__)

SEQ_MARGIN = 1000
"""Where the log has lost its last events, how far the ending is put beyond what is known: more than a worker can have
sent since its last save, so that no reader's cursor is ahead of the ending."""

AT_ONCE = 100
"""Replies that are taken with one transaction, and whose texts are held at a time."""

SILENT_SECONDS = 10.0
"""Without a save for so long, a generation of this very worker that it does not run, or of any where they have no
leases, is nobody's."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A generation that is this worker's now, as the database has it."""

    generation: str
    epoch: int
    seq: int
    text: str
    reasoning: str
    question_chars: int
    language: str
    stopped: bool
    first_token_ms: int | None
    duration_ms: int
    notes: Sequence[Note]
    lost: Lost


class Successor(Protocol):
    """Who may go on with a reply instead."""

    async def go_on(self, taken: Taken, sealed: Sealed) -> bool: ...


class Reaper:
    """`worker` is this one's name."""

    def __init__(self, *, database: Database, store: Store, log: EventLog, worker: str) -> None:
        self.successor: Successor | None = None
        self.is_closing: Callable[[], bool] = lambda: False
        self._database = database
        self._store = store
        self._log = log
        self._worker = worker

    async def reap(self, dead: Collection[str], running: Collection[str]) -> list[Lost]:
        """Ends what `dead` workers ran, and what this one has no producer for, `running` being those it has."""
        mine = Q(owner=self._worker, heartbeat__lt=_long_ago())
        return await self._reap(Q(owner__in=dead) | mine if dead else mine, running)

    async def reap_silent(self, running: Collection[str]) -> list[Lost]:
        """The same where workers have no leases: whatever has not been saved for long."""
        return await self._reap(Q(heartbeat__lt=_long_ago()), running)

    async def reap_all_others(self) -> list[Lost]:
        """Where this process is the only one: whatever it did not start."""
        return await self._reap(~Q(owner=self._worker), ())

    async def _reap(self, whose: Q, running: Collection[str]) -> list[Lost]:
        ended: list[Lost] = []
        if not self._log.is_open or not await self._database.read(_candidates, whose, frozenset(running)):
            return ended  # as nearly always: looking costs no transaction
        seen_to = set(running)
        # While the log is away nothing can be sealed: each attempt would cost an epoch, and those are counted.
        while (
            self._log.is_open
            and not self.is_closing()
            and (taken := await self._database.write(_take, self._worker, whose, frozenset(seen_to)))
        ):
            endings = await asyncio.gather(*(self._end(one) for one in taken), return_exceptions=True)
            for one, ending in zip(taken, endings, strict=True):
                seen_to.add(one.generation)
                if ending is True:
                    ended.append(one.lost)
                elif isinstance(ending, Exception):
                    logger.error("a lost generation was not ended", exc_info=ending)
        return ended

    async def _end(self, taken: Taken) -> bool:
        """False when this worker goes on with it, or must try again: it stays its own, which it does not run."""
        try:
            sealed = await self._log.seal(taken.generation, taken.epoch)
        except Unavailable:
            return False
        whole = sealed is not None and sealed.last >= taken.seq and len(sealed.text) >= len(taken.text)
        if sealed is not None and whole and not sealed.ended and await self._goes_on(taken, sealed):
            return False
        text, reasoning = (sealed.text, sealed.reasoning) if sealed and whole else (taken.text, taken.reasoning)
        ending = Ending(
            taken.generation,
            taken.epoch,
            _last_seq(taken, sealed if whole else None),
            _outcome(taken, text, reasoning),
            words(GenerationFailed(ErrorCode.INTERRUPTED), taken.language),
            datetime.now(UTC),
            taken.lost.provider,
            taken.lost.model,
            taken.lost.upstream,
        )
        if not await self._store.finish(ending):
            return False
        if sealed is None or not whole:
            self._log.discard(taken.generation, taken.epoch)
        elif not sealed.ended:
            self._tell(ending, sealed.last)
        return True

    async def _goes_on(self, taken: Taken, sealed: Sealed) -> bool:
        return self.successor is not None and await self.successor.go_on(taken, sealed)

    def _tell(self, ending: Ending, last: int) -> None:
        outcome = ending.outcome
        stream = self._log.open(ending.generation, partial(snapshot_of, outcome), epoch=ending.epoch, after=last)
        self._log.append(stream, *terminal_event(outcome, ending.error_words, ending.finished_at))
        self._log.end(stream)


def _last_seq(taken: Taken, sealed: Sealed | None) -> int:
    """The terminal event's. `sealed`: where it is whole."""
    if sealed is None:
        return taken.seq + SEQ_MARGIN
    return sealed.last if sealed.ended else sealed.last + 1


def _outcome(taken: Taken, text: str, reasoning: str) -> Outcome:
    usage = Usage(
        -(-taken.question_chars // CHARACTERS_PER_TOKEN),
        -(-(len(text) + len(reasoning)) // CHARACTERS_PER_TOKEN),
        estimated=True,
    )
    stopped = taken.stopped
    return Outcome(
        status=Status.CANCELLED if stopped else Status.INTERRUPTED,
        text=text,
        reasoning=reasoning,
        usage=usage,
        finish_reason=FinishReason.CANCELLED if stopped else None,
        error=None if stopped else GenerationFailed(ErrorCode.INTERRUPTED),
        first_token_ms=taken.first_token_ms,
        duration_ms=taken.duration_ms,
        notes=taken.notes,
    )


# In the database's threads


def _long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=SILENT_SECONDS)


def _candidates(whose: Q, running: frozenset[str]) -> list[uuid.UUID]:
    live = Generation.objects.live().filter(whose, log_version=LOG_VERSION).order_by("id")
    if connections[live.db].vendor == "postgresql" and connections[live.db].in_atomic_block:
        # Another worker's reaper takes others, instead of waiting for this one.
        live = live.select_for_update(skip_locked=True, of=("self",))
    rows = live.values_list("id", flat=True)[: AT_ONCE + len(running)]
    return [id for id in rows if str(id) not in running][:AT_ONCE]


def _take(worker: str, whose: Q, running: frozenset[str]) -> list[Taken]:
    """Some of them: no other worker takes the same, since their rows are locked, or on SQLite the whole database."""
    keys = _candidates(whose, running)
    Generation.objects.filter(id__in=keys).update(owner=worker, epoch=F("epoch") + 1)
    rows = Generation.objects.filter(id__in=keys).select_related("message", "user_message")
    return [_taken(generation) for generation in rows]


def _taken(generation: Generation) -> Taken:
    text, reasoning = generation_texts(generation)
    question = generation.user_message
    # Until the last sign of life.
    duration_ms = max(0, round((generation.heartbeat - generation.created_at).total_seconds() * 1000))
    return Taken(
        str(generation.id),
        generation.epoch,
        generation.seq,
        text,
        reasoning,
        0 if question is None else len(question.text),
        generation.language,
        generation.wanted == "stop",
        generation.first_token_ms,
        duration_ms,
        notes.of_row(generation.notes, Note),
        Lost(
            str(generation.id),
            str(generation.conversation_id),
            str(generation.user_id),
            generation.provider,
            generation.model,
            generation.upstream,
            duration_ms,
        ),
    )
