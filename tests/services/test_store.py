"""What is saved of a reply while it lasts, and its end: once, and by its owner alone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import connection

from chat.engine.generation import Outcome
from chat.engine.store import Ending, Partial
from chat.events import FinishReason, Note, Status, Usage
from chat.models import Generation
from chat.models.identifier import new_id
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
    return Partial(generation, epoch, Status.STREAMING, seq, text, "thought ", 12, "another", "two", "websocket")


@in_database
def stored(generation: str) -> tuple[object, ...]:
    row = Generation.objects.select_related("message").get(id=generation)
    who = (row.provider, row.model, row.upstream)
    return row.status, row.seq, row.message.text, row.message.reasoning, row.first_token_ms, *who


async def test_what_comes_is_added_for_many_at_once_and_only_by_their_owner(store: DatabaseStore) -> None:
    one, two, taken = [await in_database(running)(datetime.now(UTC)) for _ in range(3)]
    await in_database(Generation.objects.filter(id=taken).update)(epoch=2)
    await store.save([partial(one, ", 世界 'quoted' \\ {x} %s"), partial(two, ""), partial(taken, "of a zombie")])
    await store.save([partial(one, " and more", seq=9)])
    expected = "So far, 世界 'quoted' \\ {x} %s and more"
    assert await stored(one) == ("streaming", 9, expected, "thought thought ", 12, "another", "two", "websocket")
    assert (await stored(two))[:3] == ("streaming", 7, "So far")
    assert (await stored(taken))[:3] == ("streaming", 0, "So far")


@in_database
def notes_of(generation: str) -> list[object]:
    return Generation.objects.get(id=generation).notes


async def test_notes_are_saved_where_there_are_new_ones_and_only_by_their_owner(store: DatabaseStore) -> None:
    noted, plain, taken = [await in_database(running)(datetime.now(UTC)) for _ in range(3)]
    await in_database(Generation.objects.filter(id=taken).update)(epoch=2)
    notes = [Note("trimmed", {"left_out": 12}), Note("fallback", {"provider": "通义 'q'", "model": "%s"})]
    await store.save([replace(partial(one, ""), notes=notes) for one in (noted, taken)] + [partial(plain, "")])
    await store.save([partial(noted, "", seq=9)])
    told = [
        {"note": "trimmed", "details": {"left_out": 12}},
        {"note": "fallback", "details": {"provider": "通义 'q'", "model": "%s"}},
    ]
    assert [await notes_of(one) for one in (noted, plain, taken)] == [told, [], []]


async def test_the_notes_of_an_ending_are_stored_with_it(store: DatabaseStore) -> None:
    generation = await in_database(running)(datetime.now(UTC))
    notes = [Note("trimmed", {"left_out": 1})]
    outcome = Outcome(Status.COMPLETED, "All", "", Usage(1, 2), finish_reason=FinishReason.STOP, notes=notes)
    assert await store.finish(Ending(generation, 1, 9, outcome, "", datetime.now(UTC), "main", "one", "ndjson"))
    assert await notes_of(generation) == [{"note": "trimmed", "details": {"left_out": 1}}]


async def test_an_ending_that_tells_none_keeps_those_that_were_saved(store: DatabaseStore) -> None:
    generation = await in_database(running)(datetime.now(UTC))
    await store.save([replace(partial(generation, ""), notes=[Note("cached", {"seconds": 180})])])
    outcome = Outcome(Status.COMPLETED, "All", "", Usage(1, 2), finish_reason=FinishReason.STOP)
    assert await store.finish(Ending(generation, 1, 9, outcome, "", datetime.now(UTC), "main", "one", "ndjson"))
    assert await notes_of(generation) == [{"note": "cached", "details": {"seconds": 180}}]


async def test_a_worker_that_knows_no_notes_writes_rows_all_the_same(store: DatabaseStore) -> None:
    generation = await in_database(running)(datetime.now(UTC))
    copy = new_id()
    await in_database(copy_without)(generation, copy, "notes")
    assert await notes_of(str(copy)) == []


def copy_without(generation: str, copy: uuid.UUID, field: str) -> None:
    names = [one.column for one in Generation._meta.concrete_fields if one.column not in ("id", field)]
    columns = ", ".join(connection.ops.quote_name(name) for name in names)
    key = Generation._meta.pk.get_db_prep_value
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO chat_generation (id, {columns}) SELECT %s, {columns} FROM chat_generation WHERE id = %s",
            [key(copy, connection), key(uuid.UUID(generation), connection)],
        )


async def test_an_end_is_made_once_and_known_when_it_is_asked_for_again(store: DatabaseStore) -> None:
    generation = await in_database(running)(datetime.now(UTC))
    outcome = Outcome(Status.COMPLETED, "All of it", "", Usage(1, 2), finish_reason=FinishReason.STOP)
    ending = Ending(generation, 1, 9, outcome, "", datetime.now(UTC), "main", "one", "ndjson")
    assert await store.finish(ending)
    assert await store.finish(ending), "its answer may have been lost"
    assert not await store.finish(replace(ending, epoch=2, seq=10))
    await store.save([partial(generation, "too late")])
    assert (await stored(generation))[:3] == ("completed", 9, "All of it")
    assert (await stored(generation))[-3:] == ("main", "one", "ndjson")
