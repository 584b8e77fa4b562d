"""Sends what webhooks are to be told: by any worker, at least once, until it is taken or given up.

A delivery is a row, written by the transaction that ended the reply. Whoever claims it moves its due time past the
longest attempt: no other worker takes it meanwhile, and if this one dies, another does after that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf

from django.db.models import F, QuerySet

from chat.errors import RequestError
from chat.models import Generation, WebhookDelivery
from chat.models.webhook import DeliveryState
from chat.services.database import Database
from chat.services.webhook_events import payload
from chat.services.webhook_request import Attempt, Message, WebhookRequests

logger = logging.getLogger(__name__)

USER_AT_ONCE = 4
"""Deliveries of one user under way in this worker: somebody's slow receiver leaves room for the others'."""

CLAIMED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 1000
FORGET_SECONDS = 60.0
"""How often what is old is looked for, and how much of it goes in one transaction."""

GENERATION_DELETED = "GENERATION_DELETED"
ACCOUNT_INACTIVE = "ACCOUNT_INACTIVE"
INTERRUPTED = "INTERRUPTED"
"""Why one is given up that is not even tried (any more)."""

BROKEN_OFF = 5
"""Attempts beyond the others for a delivery whose workers died in them, or could not say how they ended; then it is
INTERRUPTED. Else one that brings a worker down would do so for ever."""


@dataclass(frozen=True, slots=True)
class Due:
    """`attempts`: begun before."""

    id: uuid.UUID
    attempts: int
    user: uuid.UUID


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is this worker's until the claim runs out. `attempt`: from 1. `obstacle`: why there is no
    message."""

    due: Due
    attempt: int
    message: Message | None
    obstacle: str = ""


class WebhookDeliveries:
    """`send_due` about once a second, `forget_old` once in `FORGET_SECONDS`. `retry_seconds`: before each further
    attempt; behind the last, the delivery is given up."""

    def __init__(
        self,
        *,
        database: Database,
        requests: WebhookRequests,
        retry_seconds: Sequence[float],
        at_once: int | None,
        keep_seconds: float,
    ) -> None:
        self._database = database
        self._requests = requests
        self._retry_seconds = retry_seconds
        self._at_once = inf if at_once is None else max(1, at_once)
        self._keep_seconds = keep_seconds
        self._under_way: dict[asyncio.Task[None], uuid.UUID] = {}

    async def send_due(self) -> None:
        """Begins all that is due and has room. Raises Unavailable."""
        while True:
            if len(self._under_way) >= self._at_once:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            if not await self._begin_some():
                return

    async def forget_old(self) -> None:
        """Deletes what ended long ago. Raises Unavailable."""
        if self._keep_seconds < inf:
            before = datetime.now(UTC) - timedelta(seconds=self._keep_seconds)
            while old := await self._database.read(_ended_before, before):
                await self._database.write(_delete, old)

    async def aclose(self) -> None:
        """What is under way is broken off; another worker, or the next start, attempts it again."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._requests.aclose()

    async def _begin_some(self) -> bool:
        room = int(min(CLAIMED_AT_ONCE, self._at_once - len(self._under_way)))
        under_way = Counter(self._under_way.values())
        due = await self._database.read(_due, room, under_way)
        if not due:
            return False  # as nearly always: looking costs no transaction
        until = datetime.now(UTC) + timedelta(seconds=2 * self._requests.seconds)
        claimed = await self._database.write(_claim, due, until, 1 + len(self._retry_seconds) + BROKEN_OFF)
        for one in claimed:
            task = asyncio.create_task(self._deliver(one), name="webhook")
            self._under_way[task] = one.due.user
            task.add_done_callback(self._under_way.pop)
        return bool(claimed)

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            if claimed.message is None:
                await self._database.write(_record, claimed, DeliveryState.GIVEN_UP, None, claimed.obstacle, None)
                return
            attempt = await self._requests.send(claimed.message)
            state, due_at = self._what_follows(claimed, attempt)
            await self._database.write(_record, claimed, state, attempt.status, attempt.fault or "", due_at)
        except RequestError:
            logger.warning("the end of a webhook's delivery was not recorded: it will be attempted again")
        except Exception as error:
            logger.error("a webhook's delivery failed here", exc_info=error)

    def _what_follows(self, claimed: Claimed, attempt: Attempt) -> tuple[DeliveryState, datetime | None]:
        if attempt.fault is None:
            return DeliveryState.DELIVERED, None
        if claimed.attempt > len(self._retry_seconds):
            return DeliveryState.GIVEN_UP, None
        pause = timedelta(seconds=self._retry_seconds[claimed.attempt - 1])
        return DeliveryState.WAITING, datetime.now(UTC) + pause


# In the database's threads


def waiting() -> QuerySet[WebhookDelivery]:
    """In the words of the index `webhook_delivery_due`: SQLite prepares a statement before it has the values."""
    table = WebhookDelivery._meta.db_table
    where = f"""{table}.state = '{DeliveryState.WAITING.value}'"""
    return WebhookDelivery.objects.extra(where=[where])  # noqa: S610 (no input)


def _due(room: int, under_way: Counter[uuid.UUID]) -> list[Due]:
    """At most so many, the longest due first, and of each user at most what is left of theirs."""
    busy = [user for user, number in under_way.items() if number >= USER_AT_ONCE]
    deliveries = waiting().filter(due_at__lte=datetime.now(UTC)).exclude(webhook__user_id__in=busy)
    rows = deliveries.order_by("due_at").values_list("id", "attempts", "webhook__user_id")[:room]
    taken, due = Counter(under_way), []
    for one in (Due(*row) for row in rows):
        if taken[one.user] < USER_AT_ONCE:
            taken[one.user] += 1
            due.append(one)
    return due


def _claim(due: Sequence[Due], until: datetime, most: int) -> list[Claimed]:
    """Those that no other worker has claimed since they were looked up. `most`: attempts."""
    mine = [
        one
        for one in due
        if waiting().filter(id=one.id, attempts=one.attempts).update(due_at=until, attempts=F("attempts") + 1)
    ]
    deliveries = WebhookDelivery.objects.select_related("webhook__user").in_bulk([one.id for one in mine])
    ids = [delivery.generation for delivery in deliveries.values()]
    generations = Generation.objects.in_bulk(ids)
    return [
        _claimed(one, deliveries[one.id], generations.get(deliveries[one.id].generation), most)
        for one in mine
        if one.id in deliveries
    ]


def _claimed(due: Due, delivery: WebhookDelivery, generation: Generation | None, most: int) -> Claimed:
    webhook, attempt = delivery.webhook, due.attempts + 1
    if attempt > most:
        return Claimed(due, attempt, None, INTERRUPTED)
    if not webhook.user.is_active:
        return Claimed(due, attempt, None, ACCOUNT_INACTIVE)
    if generation is None:
        return Claimed(due, attempt, None, GENERATION_DELETED)
    message = Message(str(delivery.id), webhook.url, webhook.secret, payload(delivery, generation))
    return Claimed(due, attempt, message)


def _record(claimed: Claimed, state: DeliveryState, status: int | None, error: str, due_at: datetime | None) -> None:
    """Unless the claim has run out, and another worker has it now. `due_at`: None where it is over."""
    row = waiting().filter(id=claimed.due.id, attempts=claimed.attempt)
    if due_at is None:
        row.update(state=state.value, status_code=status, error=error, finished_at=datetime.now(UTC))
    else:
        row.update(status_code=status, error=error, due_at=due_at)


def _ended_before(moment: datetime) -> list[uuid.UUID]:
    """Some of those whose reply ended before: their ids begin with the time at which they were made."""
    first_after = uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
    old = WebhookDelivery.objects.filter(id__lt=first_after, finished_at__isnull=False).order_by("id")
    return list(old.values_list("id", flat=True)[:FORGOTTEN_AT_ONCE])


def _delete(ids: Collection[uuid.UUID]) -> None:
    WebhookDelivery.objects.filter(id__in=ids).delete()
