"""Which workers live: each says so in its row once a second, by the database's clock, which is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from chat import __version__
from chat.models import Generation, Worker
from chat.services.database import Database

LEASE_SECONDS = 5.0
"""Silent for so long, a worker is dead. With the second between two looks, and what the rescue takes, this stays well
below the fifteen seconds that clients are promised; and it is longer than any pause that a healthy worker makes."""

GRACE_SECONDS = LEASE_SECONDS
"""After a break in looking: the database was away, or this worker stood still. The others get the time to say that they
live."""

FIRST_GRACE_SECONDS = 0.9
"""The same for a worker that has just begun, in whose time the database is hardly ever coming back too: where workers
die one after the other, there must be one that sees to the dead."""

HELD_SECONDS = LEASE_SECONDS - 1.5
"""After a beat, for so long, this worker is surely not dead to anybody."""

LOOKS_APART_SECONDS = 2.5
"""Two looks further apart are a break."""


LOOKS_APART_EVERYWHERE = 5
"""At each so many looks, all live generations are looked at, for owners that have no row: there may be very many."""


class Leases:
    """`clock`: seconds that pass for this worker, such as its loop's. `taken_for_dead` is called when others have said
    that this worker is."""

    def __init__(
        self,
        database: Database,
        worker: str,
        clock: Callable[[], float],
        taken_for_dead: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._worker = worker
        self._clock = clock
        self._taken_for_dead = taken_for_dead
        self._beaten = False
        self._held_until = clock() + HELD_SECONDS
        self._looked: float | None = None
        self._looking_since = 0.0
        self._grace = FIRST_GRACE_SECONDS
        self._looks = 0
        self._unknown_since: dict[str, float] = {}

    async def beat(self) -> None:
        """This worker lives. About once a second."""
        now = self._clock()
        known = await self._database.write_patiently(_beat, self._worker)
        if self._beaten and not known:
            self._taken_for_dead()
        self._beaten = True
        self._held_until = now + HELD_SECONDS

    @property
    def is_held(self) -> bool:
        """Nobody can have taken this worker for dead."""
        return self._clock() < self._held_until

    async def resign(self) -> None:
        """It ends, and runs nothing any more."""
        await self._database.write(_resign, self._worker)

    async def dead(self) -> list[str]:
        """The owners of live generations whose workers have been silent for too long. About once a second."""
        everywhere = self._looks % LOOKS_APART_EVERYWHERE == 0
        try:
            owners, silence = await self._database.read(_look, everywhere)
        except Exception:
            self._looked, self._grace = None, GRACE_SECONDS
            raise
        now = self._clock()
        if self._looked is None:
            self._looking_since = now
        elif now - self._looked > LOOKS_APART_SECONDS:
            self._looking_since, self._grace = now, GRACE_SECONDS
        self._looked = now
        self._looks += 1
        if everywhere:
            # Without a row: of a version that has none, or one whose row has been cleared away.
            unknown = owners - silence.keys() - {self._worker}
            self._unknown_since = {owner: self._unknown_since.get(owner, now) for owner in unknown}
        if now - self._looking_since < self._grace:
            return []
        silent = {worker for worker, seconds in silence.items() if seconds >= LEASE_SECONDS and worker != self._worker}
        if forgotten := silent - owners:
            await self._database.write_patiently(_forget, forgotten)
        unknown = {owner for owner, since in self._unknown_since.items() if now - since >= LEASE_SECONDS}
        return sorted((silent & owners) | (unknown - silence.keys()))


def _beat(worker: str) -> bool:
    """Whether there was a row."""
    if Worker.objects.filter(id=worker).update(heartbeat=Now()):
        return True
    Worker.objects.create(id=worker, version=__version__, started_at=Now(), heartbeat=Now())
    return False


def _resign(worker: str) -> None:
    Worker.objects.filter(id=worker).delete()


def _forget(workers: set[str]) -> None:
    Worker.objects.filter(id__in=workers).delete()


def _look(everywhere: bool) -> tuple[set[str], dict[str, float]]:
    """Who owns live generations, of the silent or of all; and how long each worker has been silent, in seconds."""
    age = ExpressionWrapper(Now() - F("heartbeat"), output_field=DurationField())
    ages: dict[str, timedelta] = dict(Worker.objects.annotate(age=age).values_list("id", "age"))
    silence = {worker: seconds.total_seconds() for worker, seconds in ages.items()}
    live = Generation.objects.live()
    if not everywhere:
        silent = [worker for worker, seconds in silence.items() if seconds >= LEASE_SECONDS]
        if not silent:
            return set(), silence
        live = live.filter(owner__in=silent)
    return set(live.order_by().values_list("owner", flat=True).distinct()), silence
