"""Which workers live. Each counts up in its row; whose count stands still for too long, by the watch of whoever looks,
is dead. No two clocks are ever compared, and while the database is away nobody dies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from django.db.models import F

from chat import __version__
from chat.models import Generation, Worker
from chat.services.database import Database

logger = logging.getLogger(__name__)

LEASE_SECONDS = 7.0
"""Without a beat for so long, a worker is dead. With the second between two looks, and what the rescue takes, this
stays well below the fifteen seconds that clients are promised; and it is longer than any pause that a healthy worker
makes."""

LOOKS_APART_SECONDS = 3.0
"""Two looks that are further apart prove nothing: whoever looks was the one who stood still."""


class Leases:
    """`clock`: seconds that pass for this worker, such as its loop's."""

    def __init__(self, database: Database, worker: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._worker = worker
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked: float | None = None

    async def beat(self) -> None:
        """This worker lives. About once a second."""
        await self._database.write_patiently(_beat, self._worker)

    async def resign(self) -> None:
        """It ends, and runs nothing any more."""
        await self._database.write(_resign, self._worker)

    async def dead(self) -> list[str]:
        """The owners of live generations whose workers have been silent for too long. About once a second."""
        try:
            owners, beats = await self._database.read(_look)
        except Exception:
            self._seen.clear()
            raise
        now = self._clock()
        if self._looked is None or now - self._looked > LOOKS_APART_SECONDS:
            self._seen.clear()
        self._looked = now
        watched = (owners | beats.keys()) - {self._worker}
        self._seen = {one: self._last_beat(one, beats.get(one, -1), now) for one in watched}
        silent = [one for one, (_beat, since) in self._seen.items() if now - since >= LEASE_SECONDS]
        forgotten = [one for one in silent if one not in owners]
        if forgotten:
            await self._database.write_patiently(_forget, forgotten)
        return [one for one in silent if one in owners]

    def _last_beat(self, worker: str, beat: int, now: float) -> tuple[int, float]:
        seen = self._seen.get(worker)
        return seen if seen is not None and seen[0] == beat else (beat, now)


def _beat(worker: str) -> None:
    now = datetime.now(UTC)
    if not Worker.objects.filter(id=worker).update(beat=F("beat") + 1, heartbeat=now):
        Worker.objects.create(id=worker, version=__version__, started_at=now, heartbeat=now)


def _resign(worker: str) -> None:
    Worker.objects.filter(id=worker).delete()


def _forget(workers: list[str]) -> None:
    Worker.objects.filter(id__in=workers).delete()


def _look() -> tuple[set[str], dict[str, int]]:
    owners = set(Generation.objects.live().order_by().values_list("owner", flat=True).distinct())
    return owners, dict(Worker.objects.values_list("id", "beat"))
