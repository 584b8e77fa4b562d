"""When each API key was used last, to the minute: a request costs no write of its own."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from chat.models import ApiKey
from chat.services.database import Database
from chat.services.owned_tasks import OwnedTasks

logger = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)


class KeyUse:
    def __init__(self, database: Database, tasks: OwnedTasks) -> None:
        self._database = database
        self._tasks = tasks
        self._being_noted: set[uuid.UUID] = set()

    def note(self, key: uuid.UUID, last_used_at: datetime | None) -> None:
        """It is used now. `last_used_at`: what its row says. Waits for nothing, and never fails."""
        if key in self._being_noted or (last_used_at is not None and timezone.now() - last_used_at < EVERY):
            return
        self._being_noted.add(key)
        self._tasks.start(self._note(key))

    async def _note(self, key: uuid.UUID) -> None:
        try:
            await self._database.write_patiently(_used, key)
        except Exception as error:  # the next use is noted
            logger.warning("the use of an API key cannot be noted: %s", type(error).__name__)
        finally:
            self._being_noted.discard(key)


def _used(key: uuid.UUID) -> None:
    """Unless another process has said so."""
    now = timezone.now()
    not_noted = Q(last_used_at=None) | Q(last_used_at__lt=now - EVERY)
    ApiKey.objects.filter(not_noted, pk=key).update(last_used_at=now)
