"""Who is dead: whose row has been silent for too long, and nobody while one cannot look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError
from django.db.models import F

from chat.errors import Unavailable
from chat.models import Generation, Worker
from chat.services import leases
from chat.services.database import Database
from chat.services.leases import GRACE_SECONDS, LEASE_SECONDS, LOOKS_APART_EVERYWHERE, Leases
from tests.services.test_reaping import running

pytestmark = pytest.mark.django_db(transaction=True)


class Watch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    await asyncio.to_thread(database.close)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def make(database: Database, watch: Watch) -> Callable[[str], Leases]:
    return lambda worker: Leases(database, worker, watch)


@in_database
def pass_time(seconds: float) -> None:
    """For all rows."""
    Worker.objects.update(heartbeat=F("heartbeat") - timedelta(seconds=seconds))


async def look_for_long(mine: Leases, watch: Watch) -> list[str]:
    for _second in range(round(GRACE_SECONDS) + 1):
        watch.now += 1
        found = await mine.dead()
    return found


async def test_who_is_silent_is_dead_and_who_beats_is_not(make: Callable[[str], Leases], watch: Watch) -> None:
    mine, living, dying = (make(name) for name in ("mine", "living", "dying"))
    for one in (mine, living, dying):
        await one.beat()
        await in_database(running)(datetime.now(UTC), one._worker)
    await pass_time(LEASE_SECONDS - 1)
    assert await look_for_long(mine, watch) == []
    await living.beat()
    await pass_time(1)
    watch.now += 1
    assert await mine.dead() == ["dying"]
    watch.now += 1
    assert await mine.dead() == ["dying"], "until it has been seen to"


async def test_a_worker_without_a_row_has_its_time_too(make: Callable[[str], Leases], watch: Watch) -> None:
    mine = make("mine")
    await in_database(running)(datetime.now(UTC), "of-another-version")
    seconds = 0
    while not await mine.dead():
        watch.now += 1
        seconds += 1
    assert LEASE_SECONDS <= seconds <= LEASE_SECONDS + LOOKS_APART_EVERYWHERE


async def test_a_dead_worker_that_ran_nothing_is_forgotten_and_one_that_comes_back_is_known_again(
    make: Callable[[str], Leases], watch: Watch
) -> None:
    mine, sleeper = make("mine"), make("sleeper")
    await sleeper.beat()
    await pass_time(60)
    await mine.beat()
    assert await look_for_long(mine, watch) == []
    assert await in_database(lambda: set(Worker.objects.values_list("id", flat=True)))() == {"mine"}
    await sleeper.beat()
    assert await in_database(Worker.objects.count)() == 2
    await sleeper.resign()
    assert await in_database(Worker.objects.count)() == 1


async def test_who_has_not_looked_or_could_not_gives_the_others_time(
    make: Callable[[str], Leases], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, dying = make("mine"), make("dying")
    await dying.beat()
    await in_database(running)(datetime.now(UTC), "dying")
    await pass_time(60)
    assert await mine.dead() == [], "the first look"
    assert await look_for_long(mine, watch) == ["dying"]
    watch.now += 60
    assert await mine.dead() == [], "it stood still itself"
    assert await look_for_long(mine, watch) == ["dying"]

    def away(everywhere: bool) -> None:
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(leases, "_look", away)
        with pytest.raises(Unavailable):
            await mine.dead()
    watch.now += 1
    assert await mine.dead() == []
    assert await look_for_long(mine, watch) == ["dying"]
    assert await in_database(Generation.objects.live().count)() == 1
