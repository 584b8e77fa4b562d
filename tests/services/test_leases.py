"""Who is dead: whose count stands still by the watch of whoever looks, and nobody while one cannot look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError

from chat.models import Generation, Worker
from chat.services import leases
from chat.services.database import Database
from chat.services.leases import LEASE_SECONDS, Leases
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


async def seconds_until_dead(looking: Leases, watch: Watch, *beating: Leases) -> int | None:
    """How many it takes, a look each."""
    for second in range(1, 30):
        watch.now += 1
        for one in beating:
            await one.beat()
        if await looking.dead():
            return second
    return None


async def test_who_stands_still_is_dead_and_who_beats_is_not(make: Callable[[str], Leases], watch: Watch) -> None:
    mine, living, dying = (make(name) for name in ("mine", "living", "dying"))
    for one in (mine, living, dying):
        await one.beat()
    for name in ("mine", "living", "dying"):
        await in_database(running)(datetime.now(UTC), name)
    await mine.dead()
    assert await seconds_until_dead(mine, watch, living) == LEASE_SECONDS
    watch.now += 1
    await living.beat()
    assert await mine.dead() == ["dying"], "until it has been seen to"


async def test_a_worker_without_a_row_has_its_time_too(make: Callable[[str], Leases], watch: Watch) -> None:
    mine = make("mine")
    await in_database(running)(datetime.now(UTC), "of-another-version")
    await mine.dead()
    assert await seconds_until_dead(mine, watch) == LEASE_SECONDS


async def test_a_dead_worker_that_ran_nothing_is_forgotten_and_one_that_comes_back_is_known_again(
    make: Callable[[str], Leases], watch: Watch
) -> None:
    mine, sleeper = make("mine"), make("sleeper")
    await mine.beat()
    await sleeper.beat()
    assert await seconds_until_dead(mine, watch, mine) is None
    names = await in_database(lambda: set(Worker.objects.values_list("id", flat=True)))()
    assert names == {"mine"}
    await sleeper.beat()
    assert await in_database(Worker.objects.count)() == 2
    await sleeper.resign()
    assert await in_database(Worker.objects.count)() == 1


async def test_who_has_not_looked_for_long_or_could_not_begins_again(
    make: Callable[[str], Leases], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, dying = make("mine"), make("dying")
    await dying.beat()
    await in_database(running)(datetime.now(UTC), "dying")
    await mine.dead()
    watch.now += 60
    assert await mine.dead() == [], "it stood still itself"
    for _ in range(5):
        watch.now += 1
        assert await mine.dead() == []

    def away() -> None:
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(leases, "_look", away)
        with pytest.raises(OperationalError):
            await mine.dead()
    assert await seconds_until_dead(mine, watch) == LEASE_SECONDS + 1
    assert await in_database(Generation.objects.live().count)() == 1
