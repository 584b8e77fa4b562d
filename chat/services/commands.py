"""Stop, pause and resume, from any worker to the one that runs the generation.

The command is a word in the generation's row, so that it is not lost, and a wake-up through the process channel, so
that it is fast. An owner that missed the wake-up finds the word at its next look.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from chat.engine.engine import Engine
from chat.models import Generation
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks
from chat.services.process_channel import ProcessChannel

Command = Literal["stop", "pause", "resume"]


def _group(worker: str) -> str:
    return f"worker.{worker}"


class Commands:
    """`open` once the engine is, `look` about once a second."""

    def __init__(
        self, *, engine: Engine, database: Database, channel: ProcessChannel, tasks: OwnedTasks, worker: str
    ) -> None:
        self._engine = engine
        self._database = database
        self._channel = channel
        self._tasks = tasks
        self._worker = worker
        self._obeying: set[str] = set()

    def open(self) -> None:
        self._channel.join(_group(self._worker), self._wake)

    async def give(self, generation: str, command: Command) -> None:
        """Returns once it cannot be lost; it is obeyed a moment later. Changes nothing of a generation that has
        ended."""
        owner = await self._database.write(_want, uuid.UUID(generation), command)
        if owner is not None:
            await self.wake(owner, generation, command)

    async def wake(self, owner: str, generation: str, command: Command) -> None:
        """Without a word in the row: of a generation whose row has gone, say."""
        if owner == self._worker:
            self._start(generation, command)
        else:
            await self._channel.send(_group(owner), {"generation": generation, "command": command})

    async def look(self) -> None:
        """For what the wake-ups did not bring."""
        if self._engine.live:
            for generation, command in await self._database.read(_wanted_of, self._worker):
                self._start(str(generation), command)

    def _wake(self, message: dict[str, Any]) -> None:
        self._start(message["generation"], message["command"])

    def _start(self, generation: str, command: Command) -> None:
        if generation not in self._obeying and self._engine.is_live(generation):
            self._obeying.add(generation)
            self._tasks.start(self._obey(generation, command))

    async def _obey(self, generation: str, command: Command) -> None:
        try:
            await self._act(generation, command)
            if command != "stop":  # whose generation has ended
                await self._database.write(_obeyed, uuid.UUID(generation), command)
        finally:
            self._obeying.discard(generation)

    async def obey(self, generation: str, command: Command) -> None:
        """Of a generation of this worker, by somebody here: what was wanted of it before is wanted no more."""
        if command != "stop":
            await self._database.write(_overruled, uuid.UUID(generation))
        await self._act(generation, command)

    async def _act(self, generation: str, command: Command) -> None:
        match command:
            case "stop":
                await self._engine.stop(generation)
            case "pause":
                await self._engine.pause(generation)
            case "resume":
                await self._engine.resume(generation)


def _want(generation: uuid.UUID, command: Command) -> str | None:
    """Whose it is; None when it has ended. A stop is not taken back."""
    live = Generation.objects.live().filter(id=generation)
    live.exclude(wanted="stop").update(wanted=command)
    return live.values_list("owner", flat=True).first()


def _wanted_of(worker: str) -> list[tuple[uuid.UUID, Command]]:
    wanted = Generation.objects.live().filter(owner=worker).exclude(wanted="")
    return list(wanted.values_list("id", "wanted"))  # type: ignore[arg-type]


def _obeyed(generation: uuid.UUID, command: Command) -> None:
    """A later word stays."""
    Generation.objects.filter(id=generation, wanted=command).update(wanted="")


def _overruled(generation: uuid.UUID) -> None:
    Generation.objects.filter(id=generation).exclude(wanted__in=("", "stop")).update(wanted="")
