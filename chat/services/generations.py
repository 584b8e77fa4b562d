"""Replies that have been started: look at, follow, stop, pause, resume; for every transport alike."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from chat.engine.engine import Engine
from chat.engine.reader import Reader
from chat.errors import Unavailable
from chat.events import ENDED, Status
from chat.models import Generation
from chat.served_request import concerns
from chat.services import access, replay
from chat.services.commands import Command, Commands
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks
from chat.services.records import GenerationRecord, generation_record
from chat.services.sending import Started

FOREIGN_WAIT_SECONDS = 15.0
FOREIGN_CHECK_SECONDS = 0.5
"""A live generation that is not in the log belongs to a worker that died: it is ended by the reaper within so long."""

COMMAND_CHECK_SECONDS = 0.01
COMMAND_CHECKS = 40
"""How often another worker's obedience is looked for: at first at once, then each half second, up to some 16 s."""

QUIET_SECONDS = 3.0
"""A reply of another worker that brings nothing for so long is looked up: it may have ended."""


@dataclass(frozen=True, slots=True)
class Following:
    """`ended`: it had ended before; `empty`: and nothing is left behind the cursor; `seq`: its last event, if known."""

    ended: bool
    empty: bool
    seq: int


class Generations:
    def __init__(self, *, engine: Engine, database: Database, tasks: OwnedTasks, commands: Commands) -> None:
        self._engine = engine
        self._database = database
        self._tasks = tasks
        self._commands = commands

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
        for _attempt in range(round(FOREIGN_WAIT_SECONDS / FOREIGN_CHECK_SECONDS)):
            record = await self._look_at(user, generation)
            generation = str(record.id)
            ended = replay.is_ended(record)
            if ended and after >= record.seq:
                return Following(True, True, record.seq)
            try:
                if await self._engine.follow(reader, generation, after):
                    return Following(ended, False, record.seq)
            except Unavailable:
                if not ended:
                    raise
            if ended:
                full = await self._database.read(access.generation, user, generation)
                reader.replay(generation, replay.entries_after(full, after))
                return Following(True, False, full.seq)
            # Its first event is still on its way to the log; or its worker has gone, and it will be ended.
            await asyncio.sleep(FOREIGN_CHECK_SECONDS)
        raise Unavailable(_("The server that writes this reply cannot be reached. Please try again."), retry_after=5)

    async def follow_up(self) -> None:
        """Sees to the readers of other workers' replies that have heard nothing for a while: a reply may have ended
        without the log. About once a second."""
        quiet = self._engine.quiet(QUIET_SECONDS)
        if not quiet:
            return
        known, ended = await self._database.read(_records_of, [stream.generation for stream in quiet])
        for stream in quiet:
            record = ended.get(stream.generation)
            for reader in list(stream.readers):
                if record is not None:
                    entries = replay.entries_after(record, reader.cursor(stream.generation))
                    reader.replay(stream.generation, entries)
                elif stream.generation not in known:  # it has been deleted, which its client finds when it comes back
                    reader.lose(stream.generation)

    async def nothing_left(self, user: uuid.UUID, generation: str, after: int) -> bool:
        """Whether it has ended at or before the cursor."""
        record = await self._look_at(user, generation)
        return replay.is_ended(record) and after >= record.seq

    async def result(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        """Waits until it has ended, which every generation does."""
        await self._engine.ended(generation)
        while True:
            record = await self._database.read(access.generation, user, generation)
            if replay.is_ended(record):
                return generation_record(record)
            await asyncio.sleep(FOREIGN_CHECK_SECONDS)

    # Commands

    async def stop(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        """Idempotent; returns when the terminal event is out."""
        return await self._command(user, generation, "stop", lambda record: False)

    async def pause(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        return await self._command(user, generation, "pause", lambda record: record.status == Status.PAUSED)

    async def resume(self, user: uuid.UUID, generation: str) -> GenerationRecord:
        return await self._command(user, generation, "resume", lambda record: record.status != Status.PAUSED)

    async def _command(
        self, user: uuid.UUID, generation: str, command: Command, obeyed: Callable[[Generation], bool]
    ) -> GenerationRecord:
        record = await self._look_at(user, generation)
        generation = str(record.id)
        if not replay.is_ended(record):
            if self._engine.is_live(generation):
                await self._tasks.to_its_end(self._obey(generation, command))
            else:
                await self._tasks.to_its_end(self._commands.give(generation, command))
                await self._until(user, generation, obeyed)
        return await self.get(user, generation)

    async def _obey(self, generation: str, command: Command) -> None:
        await self._commands.obey(generation, command)

    async def _until(self, user: uuid.UUID, generation: str, obeyed: Callable[[Generation], bool]) -> None:
        """Until another worker has done it, or has gone and its generation is ended. Raises Unavailable."""
        delay = COMMAND_CHECK_SECONDS
        for _attempt in range(COMMAND_CHECKS):
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, FOREIGN_CHECK_SECONDS)
            record = await self._look_at(user, generation)
            if replay.is_ended(record) or obeyed(record):
                return
        raise Unavailable(_("The server that writes this reply cannot be reached. Please try again."), retry_after=5)

    async def _look_at(self, user: uuid.UUID, generation: str) -> Generation:
        """How far it is. Whose request this is becomes one that concerns it."""
        record = await self._database.read(access.generation_seq, user, generation)
        concerns(str(record.id), record.traceparent)
        return record


def _records_of(generations: list[str]) -> tuple[set[str], dict[str, Generation]]:
    """Which of them there are, and those that have ended, with their messages."""
    rows = Generation.objects.filter(id__in=generations)
    statuses = dict(rows.values_list("id", "status"))
    over = [id for id, status in statuses.items() if Status(status) in ENDED]
    ended = Generation.objects.filter(id__in=over).select_related("message")
    return {str(id) for id in statuses}, {str(row.id): row for row in ended}
