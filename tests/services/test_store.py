"""What is saved of a reply while it lasts, and its end: once, and by its owner alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from channels.db import database_sync_to_async as in_database

from chat.engine.generation import Outcome
from chat.engine.store import Ending, Partial
from chat.events import FinishReason, Status, Usage
from chat.models import Generation
from chat.services.database import Database
from chat.services.store import DatabaseStore
from tests.services.test_reaping import running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def store() -> AsyncIterator[DatabaseStore]:
    database = Database()
    yield DatabaseStore(database)
    await asyncio.to_thread(database.close)


def partial(generation: str, text: str, *, epoch: int = 1, seq: int = 7) -> Partial:
    return Partial(generation, epoch, Status.STREAMING, seq, text, "thought ", 12, "another", "two")


@in_database
def stored(generation: str) -> tuple[object, ...]:
    row = Generation.objects.select_related("message").get(id=generation)
    return row.status, row.seq, row.message.text, row.message.reasoning, row.first_token_ms, row.provider, row.model


async def test_what_comes_is_added_for_many_at_once_and_only_by_their_owner(store: DatabaseStore) -> None:
    one, two, taken = [await in_database(running)(datetime.now(UTC)) for _ in range(3)]
    await in_database(Generation.objects.filter(id=taken).update)(epoch=2)
    await store.save([partial(one, ", 世界 'quoted' \\ {x} %s"), partial(two, ""), partial(taken, "of a zombie")])
    await store.save([partial(one, " and more", seq=9)])
    expected = "So far, 世界 'quoted' \\ {x} %s and more"
    assert await stored(one) == ("streaming", 9, expected, "thought thought ", 12, "another", "two")
    assert (await stored(two))[:3] == ("streaming", 7, "So far")
    assert (await stored(taken))[:3] == ("streaming", 0, "So far")


async def test_an_end_is_made_once_and_known_when_it_is_asked_for_again(store: DatabaseStore) -> None:
    generation = await in_database(running)(datetime.now(UTC))
    outcome = Outcome(Status.COMPLETED, "All of it", "", Usage(1, 2), finish_reason=FinishReason.STOP)
    ending = Ending(generation, 1, 9, outcome, "", datetime.now(UTC), "main", "one")
    assert await store.finish(ending)
    assert await store.finish(ending), "its answer may have been lost"
    assert not await store.finish(replace(ending, epoch=2, seq=10))
    await store.save([partial(generation, "too late")])
    assert (await stored(generation))[:3] == ("completed", 9, "All of it")
