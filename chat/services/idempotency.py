"""One key, one answer: what a request with an idempotency key was answered is kept for the same request again.

A row without a status is being answered: it keeps the key from others, for UNFINISHED_SECONDS at most, since its worker
may have died. https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from chat.errors import Conflict
from chat.models import IdempotentAnswer
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks

UNFINISHED_SECONDS = 60
"""No call takes as long."""

LOOK_SECONDS = 60.0
"""Between two looks for old answers."""

SWEEP_ROWS = 1000
"""Deleted in one transaction at most: others wait for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    @property
    def is_kept(self) -> bool:
        """What was refused may be tried again with the same key."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class _Claim:
    """The key is this request's, since then: a later claim has another time."""

    row: int
    since: datetime


class Idempotency:
    """`keep_seconds`: how long answers are kept; infinity for ever."""

    def __init__(self, database: Database, tasks: OwnedTasks, keep_seconds: float) -> None:
        self._database = database
        self._tasks = tasks
        self._keep_seconds = keep_seconds

    async def once(
        self, user: uuid.UUID, key: str, digest: str, make: Callable[[], Awaitable[Answer]]
    ) -> Answer | None:
        """The kept answer of this user's key; or None after `make`, which came to its end whoever waits for it, and
        whose good answer is kept. Raises Conflict where the key was another request's, or is being answered."""
        return await self._tasks.to_its_end(self._once(user, key, digest, make))

    async def sweep(self) -> None:
        """Deletes old answers. About each LOOK_SECONDS."""
        if math.isinf(self._keep_seconds):
            return
        oldest = datetime.now(UTC) - timedelta(seconds=self._keep_seconds)
        while rows := await self._database.read(_older_than, oldest):
            await self._database.write(_delete, rows)

    async def _once(
        self, user: uuid.UUID, key: str, digest: str, make: Callable[[], Awaitable[Answer]]
    ) -> Answer | None:
        claim = await self._claim(user, key, digest)
        if isinstance(claim, Answer):
            return claim
        try:
            answer = await make()
        except BaseException:
            await self._database.write(_release, claim)
            raise
        if answer.is_kept:
            await self._database.write(_keep, claim, answer)
        else:
            await self._database.write(_release, claim)
        return None

    async def _claim(self, user: uuid.UUID, key: str, digest: str) -> _Claim | Answer:
        try:
            return await self._database.write(_claim, user, key, digest)
        except IntegrityError:  # another worker has just claimed it: now it is seen
            return await self._database.write(_claim, user, key, digest)


def _claim(user: uuid.UUID, key: str, digest: str) -> _Claim | Answer:
    row = IdempotentAnswer.objects.filter(user_id=user, key=key).first()
    if row is None:
        row = IdempotentAnswer.objects.create(user_id=user, key=key, digest=digest)
        return _Claim(row.pk, row.created_at)
    if row.digest != digest:
        raise Conflict(_("This key was used for another request. Use a new key for each request."))
    if row.status is not None:
        return Answer(row.status, bytes(row.body or b""))
    now = datetime.now(UTC)
    unfinished = IdempotentAnswer.objects.filter(pk=row.pk, created_at=row.created_at, status=None)
    if now - row.created_at < timedelta(seconds=UNFINISHED_SECONDS) or not unfinished.update(created_at=now):
        raise Conflict(_("The same request is being answered at this moment. Please wait for it."), retry_after=1)
    return _Claim(row.pk, now)


def _mine(claim: _Claim) -> QuerySet[IdempotentAnswer]:
    return IdempotentAnswer.objects.filter(pk=claim.row, created_at=claim.since, status=None)


def _keep(claim: _Claim, answer: Answer) -> None:
    _mine(claim).update(status=answer.status, body=answer.body)


def _release(claim: _Claim) -> None:
    _mine(claim).delete()


def _older_than(moment: datetime) -> list[int]:
    return list(IdempotentAnswer.objects.filter(created_at__lt=moment).values_list("pk", flat=True)[:SWEEP_ROWS])


def _delete(rows: list[int]) -> None:
    IdempotentAnswer.objects.filter(pk__in=rows).delete()
