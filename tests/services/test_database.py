"""Grouped writes: one commit for many, each caller its own result, patience, and a bound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import IntegrityError

from chat.errors import Unavailable
from chat.models import Conversation, User
from chat.models.identifier import new_id
from chat.services.database import Database
from chat.services.statements import insert

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    await asyncio.to_thread(database.close)


def add(name: str) -> str:
    User.objects.create(username=name)
    return name


def fail() -> None:
    raise LookupError("not there")


def count() -> int:
    return User.objects.count()


async def test_writes_that_wait_share_a_commit(database: Database) -> None:
    await database.write(add, "first")
    before = database.transactions
    names = [f"user{number}" for number in range(100)]
    assert await asyncio.gather(*(database.write(add, name) for name in names)) == names
    assert database.transactions - before < 10
    assert database.writes == 101
    assert await database.read(count) == 101


async def test_only_the_guilty_one_fails(database: Database) -> None:
    await database.write(add, "taken")
    results = await asyncio.gather(
        *(database.write(add, name) for name in ("one", "taken", "two")), return_exceptions=True
    )
    assert results[0] == "one"
    assert isinstance(results[1], IntegrityError)
    assert results[2] == "two"
    assert await database.read(count) == 3


async def test_who_refers_to_nothing_fails_alone_though_the_database_says_so_only_at_the_commit(
    database: Database,
) -> None:
    def orphan() -> None:
        now = datetime.now(UTC)
        Conversation.objects.create(user_id=new_id(), created_at=now, updated_at=now)

    patient = [asyncio.ensure_future(database.write_patiently(write)) for write in (partial(add, "one"), orphan)]
    await asyncio.sleep(0)
    results = await asyncio.gather(*patient, database.write(add, "two"), return_exceptions=True)
    assert (results[0], results[2]) == ("one", "two")
    assert isinstance(results[1], IntegrityError)
    assert await database.read(count) == 2
    assert await database.read(Conversation.objects.count) == 0


async def test_a_patient_write_goes_with_the_next_one(database: Database) -> None:
    await database.write(add, "first")
    before = database.transactions
    patient = [asyncio.ensure_future(database.write_patiently(add, f"patient{number}")) for number in range(3)]
    await asyncio.sleep(0)
    assert database.writes_waiting == 3
    await asyncio.gather(database.write(add, "next"), *patient)
    assert database.transactions - before <= 2
    assert await database.read(count) == 5


async def test_a_patient_write_does_not_wait_for_long(database: Database) -> None:
    assert await asyncio.wait_for(database.write_patiently(add, "alone"), 5) == "alone"
    assert await asyncio.wait_for(database.write_patiently(add, "again"), 5) == "again"


async def test_closing_does_what_is_waiting(database: Database) -> None:
    patient = asyncio.ensure_future(database.write_patiently(add, "late"))
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    assert await patient == "late"


async def test_too_many_waiting_writes_are_refused_and_the_others_done() -> None:
    database = Database(writes_waiting=5)
    try:
        results = await asyncio.gather(
            *(database.write_patiently(add, f"user{number}") for number in range(8)), return_exceptions=True
        )
        assert results[:5] == [f"user{number}" for number in range(5)]
        assert all(isinstance(result, Unavailable) for result in results[5:])
        assert await database.write(add, "afterwards") == "afterwards"
    finally:
        await asyncio.to_thread(database.close)


async def test_an_inserted_row_is_what_the_model_would_have_made(database: Database) -> None:
    user, now, id = await database.read(User.objects.create, username="owner"), datetime.now(UTC), new_id()

    def write() -> None:
        insert(Conversation, "default", id=id, user_id=user.id, title="A title", created_at=now, updated_at=now)

    await database.write(write)
    found = await database.read(Conversation.objects.get, id=id)
    made = Conversation(id=id, user=user, title="A title", created_at=now, updated_at=now)
    for field in Conversation._meta.concrete_fields:
        assert getattr(found, field.attname) == getattr(made, field.attname), field.name


async def test_a_column_that_does_not_exist_is_a_mistake(database: Database) -> None:
    with pytest.raises(AssertionError, match="colour"):
        await database.write(lambda: insert(Conversation, "default", colour="red"))


async def test_what_a_read_raises_is_its_callers(database: Database) -> None:
    results = await asyncio.gather(database.read(fail), database.read(count), return_exceptions=True)
    assert isinstance(results[0], LookupError)
    assert results[1] == 0


async def test_reads_wait_for_a_thread_up_to_a_bound_and_one_given_up_is_not_done(database: Database) -> None:
    begun, busy, done = threading.Event(), threading.Event(), []
    narrow = Database(read_threads=1, reads_waiting=2)
    try:
        first = asyncio.ensure_future(narrow.read(lambda: (begun.set(), busy.wait())))
        await asyncio.to_thread(begun.wait)
        waiting = [asyncio.ensure_future(narrow.read(done.append, number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await narrow.read(done.append, 2)
        waiting[0].cancel()
        await asyncio.sleep(0)
        busy.set()
        await asyncio.wait([first, *waiting])
        assert done == [1]
    finally:
        busy.set()
        await asyncio.to_thread(narrow.close)


async def test_a_closed_database_finishes_its_reads_and_takes_no_more(database: Database) -> None:
    reads = [asyncio.ensure_future(database.read(count)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    assert await asyncio.gather(*reads) == [0] * 20
    with pytest.raises(Unavailable):
        await database.read(count)
