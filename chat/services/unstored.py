"""Conversations that their clients did not want stored: they go some time after their last reply has ended."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from chat.models import Conversation, Generation
from chat.models.generation import LIVE_VALUES
from chat.services import message_deletion
from chat.services.database import Database

AT_ONCE = 100
"""Deleted with one transaction."""

LOOK_SECONDS = 60.0
"""Between two looks, at most."""

LOOK_BACK = timedelta(days=1)
"""How old those are that are looked for: what the time before the start has left is looked for once, at the start."""


class Unstored:
    """`seconds`: how long they stay, for their clients to come back to a reply."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._from: timedelta | None = None
        self.look_seconds = max(1.0, min(LOOK_SECONDS, seconds / 2))

    async def delete(self) -> None:
        """Those whose time has come."""
        until = datetime.now(UTC) - timedelta(seconds=self._seconds)
        since = None if self._from is None else until - self._from
        while due := await self._database.read(_due, since, until):
            await self._database.write(_delete, due, until)
        self._from = LOOK_BACK


def _due(since: datetime | None, until: datetime) -> list[uuid.UUID]:
    """By their ids, which begin with the time that they were made: no index is needed for the few that there are."""
    conversations = Conversation.objects.filter(stored=False, id__lt=_first_id(until))
    if since is not None:
        conversations = conversations.filter(id__gte=_first_id(since))
    return list(_idle(conversations, until).values_list("id", flat=True)[:AT_ONCE])


def _delete(due: list[uuid.UUID], until: datetime) -> None:
    """Unless one has been used meanwhile. Of long ones, some messages at a time."""
    idle = list(_idle(Conversation.objects.filter(id__in=due, stored=False), until).values_list("id", flat=True))
    if not message_deletion.delete_some(idle):
        Conversation.objects.filter(id__in=idle).delete()


def _idle(conversations: QuerySet[Conversation], until: datetime) -> QuerySet[Conversation]:
    """Without a reply that runs, or that has ended since `until`."""
    replies = Generation.objects.filter(conversation=OuterRef("pk"))
    return conversations.filter(
        ~Exists(replies.filter(Q(status__in=LIVE_VALUES) | Q(finished_at__gte=until))), updated_at__lt=until
    )


def _first_id(moment: datetime) -> uuid.UUID:
    """Before all UUIDv7 of this millisecond, behind all of those before."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
