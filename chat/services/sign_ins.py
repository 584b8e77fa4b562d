"""All sign-ins of an account at once: its sessions, of browsers and of token families."""

from __future__ import annotations

import asyncio
import uuid

from django.contrib.sessions.models import Session
from django.utils import timezone

from chat.models import ApiKey
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks
from chat.services.sign_in import session_user

SESSIONS_AT_ONCE = 500
"""Looked through in one read: some ten milliseconds of a reading thread. A session does not name its account in a
column of its own, so all that have not expired are looked through."""


class SignIns:
    """One look through the sessions at a time in this process, and those of one account who wait for theirs share it:
    whoever asks again and again costs no more than one after the other."""

    def __init__(self, database: Database, tasks: OwnedTasks) -> None:
        self._database = database
        self._tasks = tasks
        self._one_at_a_time = asyncio.Lock()
        self._waiting: dict[tuple[uuid.UUID, bool], asyncio.Task[None]] = {}

    async def end_all(self, user: uuid.UUID, *, api_keys: bool) -> None:
        """To the end, also where who asked for it has gone. Whoever signs in meanwhile stays signed in."""
        asked = user, api_keys
        task = self._waiting.get(asked)
        if task is None:
            task = self._waiting[asked] = self._tasks.start(self._in_turn(user, api_keys))
        await self._tasks.result_of(task)

    async def _in_turn(self, user: uuid.UUID, api_keys: bool) -> None:
        async with self._one_at_a_time:
            del self._waiting[user, api_keys]  # who asks from now on means sessions that this look may have passed
            await self._end_all(user, api_keys)

    async def _end_all(self, user: uuid.UUID, api_keys: bool) -> None:
        if api_keys:
            await self._database.write(_delete_keys, user)
        last: str | None = ""
        while last is not None:
            theirs, last = await self._database.read(_sessions, user, last)
            if theirs:
                await self._database.write(_delete_sessions, theirs)


def _sessions(user: uuid.UUID, after: str) -> tuple[list[str], str | None]:
    """Those of the user among the next sessions, and the last key that was looked at; None at the end."""
    rows = list(
        Session.objects.filter(pk__gt=after, expire_date__gt=timezone.now())
        .order_by("pk")
        .values_list("pk", "session_data")[:SESSIONS_AT_ONCE]
    )
    theirs = [key for key, data in rows if session_user(data) == user]
    return theirs, rows[-1][0] if len(rows) == SESSIONS_AT_ONCE else None


def _delete_sessions(keys: list[str]) -> None:
    Session.objects.filter(pk__in=keys).delete()


def _delete_keys(user: uuid.UUID) -> None:
    ApiKey.objects.filter(user_id=user).delete()
