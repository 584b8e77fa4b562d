"""Replies that have been started: look at, follow, stop, pause, resume; for every transport alike."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from chat.engine.engine import Engine
from chat.engine.reader import Reader
from chat.errors import Unavailable
from chat.models import Generation
from chat.served_request import concerns
from chat.services import access, replay
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks
from chat.services.records import GenerationRecord, generation_record
from chat.services.sending import Started

FOREIGN_WAIT_SECONDS = 15.0
FOREIGN_CHECK_SECONDS = 0.5
"""A live generation that is not in the log belongs to a worker that died: it is ended by the reaper within so long."""


@dataclass(frozen=True, slots=True)
class Following:
    """`ended`: it had ended before; `empty`: and nothing is left behind the cursor; `seq`: its last event, if known."""

    ended: bool
    empty: bool
    seq: int


class Generations:
    def __init__(self, *, engine: Engine, database: Database, tasks: OwnedTasks) -> None:
        self._engine = engine
        self._database = database
        self._tasks = tasks

    # Reading

    async def get(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        return generation_record(await self._database.read(access.generation, user, generation))

    async def follow_started(self, reader: Reader, started: Started, user: uuid.UUID) -> Following:
        """From the beginning; what this worker just started needs no look into the database."""
        generation = started.start.generation
        if not started.known and await self._engine.follow(reader, generation, 0):
            return Following(False, False, 0)
        return await self.follow(reader, user, generation, 0)

    async def follow(self, reader: Reader, user: uuid.UUID, generation: str, after: int) -> Following:
        """Has the reader follow from its cursor. Raises NotFound, or Unavailable when its worker cannot be reached."""
        record = await self._look_at(user, generation)
        generation = str(record.id)
        if replay.is_ended(record) and after >= record.seq:
            return Following(True, True, record.seq)
        if await self._engine.follow(reader, generation, after):
            return Following(replay.is_ended(record), False, record.seq)
        full = await self._ended_record(user, generation)
        entries = replay.entries_after(full, after)
        if entries:
            reader.replay(generation, entries)
        return Following(True, not entries, full.seq)

    async def nothing_left(self, user: uuid.UUID, generation: str, after: int) -> bool:
        """Whether it has ended at or before the cursor."""
        record = await self._look_at(user, generation)
        return replay.is_ended(record) and after >= record.seq

    async def result(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        """Waits until it has ended."""
        await self._engine.ended(generation)
        return generation_record(await self._ended_record(user, generation))

    async def _ended_record(self, user: uuid.UUID, generation: str) -> Generation:
        for _attempt in range(round(FOREIGN_WAIT_SECONDS / FOREIGN_CHECK_SECONDS)):
            record = await self._database.read(access.generation, user, generation)
            if replay.is_ended(record):
                return record
            await asyncio.sleep(FOREIGN_CHECK_SECONDS)
        raise Unavailable(_("The server that writes this reply cannot be reached. Please try again."), retry_after=5)

    # Commands

    async def stop(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        """Idempotent; returns when the terminal event is out."""
        await self._command(user, generation, self._engine.stop)
        return await self.get(user, generation)

    async def pause(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        await self._command(user, generation, self._engine.pause)
        return await self.get(user, generation)

    async def resume(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        await self._command(user, generation, self._engine.resume)
        return await self.get(user, generation)

    async def _command(
        self, user: uuid.UUID, generation: str, command: Callable[[str], Coroutine[Any, Any, bool]]
    ) -> None:
        record = await self._look_at(user, generation)
        await self._tasks.to_its_end(command(str(record.id)))

    async def _look_at(self, user: uuid.UUID, generation: str) -> Generation:
        """How far it is. Whose request this is becomes one that concerns it."""
        record = await self._database.read(access.generation_seq, user, generation)
        concerns(str(record.id), record.traceparent)
        return record
