"""The start of a reply: once for each key, and within its author's limits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from django.utils.translation import gettext as _

from chat.engine.engine import Engine
from chat.errors import Conflict, RequestError
from chat.events import StartData
from chat.models import Generation
from chat.services.acceptance import Accepted, known_request
from chat.services.author import Author
from chat.services.counted_send import CountedSend
from chat.services.database import Database
from chat.services.limits import Limits
from chat.services.owned_tasks import OwnedTasks


@dataclass(frozen=True, slots=True)
class Started:
    """`known`: the key had been used before; this is what it started then."""

    start: StartData
    known: bool


Start = Callable[[], Coroutine[Any, Any, Started]]


class _Asked(NamedTuple):
    """`request`: see Starts.once."""

    author: Author
    key: str | None
    request: Callable[[], str]
    start: Start


class Starts:
    def __init__(self, *, engine: Engine, database: Database, limits: Limits, tasks: OwnedTasks) -> None:
        self._engine = engine
        self._database = database
        self._limits = limits
        self._tasks = tasks
        self._turns: WeakValueDictionary[tuple[uuid.UUID, str], asyncio.Lock] = WeakValueDictionary()

    async def once(self, author: Author, key: str | None, request: Callable[[], str], start: Start) -> Started:
        """What `start` begins; it comes to its end, whoever waits for it. Raises RequestError.

        `request`, run in a reading thread, gives the digest that tells this request with its key from another. What
        a key has begun before is answered so again, whatever would refuse it by now: a limit, or an answer that is
        still being written.
        """
        self._engine.check_open()
        asked = _Asked(author, key, request, start)
        if key is None:
            return await self._counted(asked)
        async with self._alone(author.user, key) as waited:
            if waited and (known := await self._known(asked)) is not None:
                return known
            return await self._counted(asked)

    async def _counted(self, asked: _Asked) -> Started:
        send = self._limits.send(asked.author)
        try:
            try:
                await self._limits.admit(send)
            except RequestError as error:
                return await self._refused(asked, send, error)
            except BaseException:
                send.refused()
                raise
            return await self._tasks.to_its_end(self._started(asked, send))
        finally:
            if send.counts:
                send.tell()

    async def _started(self, asked: _Asked, send: CountedSend) -> Started:
        try:
            started = await asked.start()
        except RequestError as error:
            return await self._refused(asked, send, error)
        except BaseException:
            send.refused()
            raise
        if started.known:
            send.known()
        else:
            send.started()
        return started

    async def _refused(self, asked: _Asked, send: CountedSend, error: RequestError) -> Started:
        """Unless its key has begun something. Raises the error, or Conflict."""
        try:
            known = await self._known(asked)
            if known is None:
                raise error
        except BaseException:
            send.refused()
            raise
        send.known()
        return known

    async def _known(self, asked: _Asked) -> Started | None:
        """Raises Conflict for a key that began something else."""
        if asked.key is None:
            return None
        accepted = await self._database.read(_known, asked.author.user, asked.key, asked.request)
        return None if accepted is None else Started(accepted.noted().start, True)

    @asynccontextmanager
    async def _alone(self, user: uuid.UUID, key: str) -> AsyncIterator[bool]:
        """One request with this key at a time gets past the limits in this process: fifty at once are one send. In the
        order in which they came: none is woken for nothing. Gives whether there was another."""
        turn = self._turns.setdefault((user, key), asyncio.Lock())
        waited = turn.locked()
        async with turn:
            yield waited


def _known(user: uuid.UUID, key: str, request: Callable[[], str]) -> Accepted | None:
    digest = Generation.objects.filter(user_id=user, key=key).values_list("request_digest", flat=True).first()
    if digest is None:
        return None
    if digest != request():
        raise Conflict(_("This key was used for another message. Use a new key for each message."))
    return known_request(user, key)
