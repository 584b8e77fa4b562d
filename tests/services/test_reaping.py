"""Replies of workers that have gone are ended; those that run are not, whatever their rows look like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import connection, transaction
from django.db.models import QuerySet

from chat.engine.memory_log import MemoryLog
from chat.events import Status
from chat.models import Conversation, Generation, Message, User
from chat.services.database import Database
from chat.services.reaping import Reaper
from chat.services.store import DatabaseStore

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    await asyncio.to_thread(database.close)


@pytest.fixture
def reaper(database: Database) -> Reaper:
    return reaper_of(database, "this-worker")


def reaper_of(database: Database, worker: str) -> Reaper:
    return Reaper(database=database, store=DatabaseStore(database), log=MemoryLog(), worker=worker)


def running(heard: datetime, owner: str = "this-worker") -> str:
    user, _made = User.objects.get_or_create(username="owner")
    conversation = Conversation.objects.create(user=user, created_at=heard, updated_at=heard)
    message = Message.objects.create(conversation=conversation, role="assistant", text="So far", created_at=heard)
    generation = Generation.objects.create(
        user=user,
        conversation=conversation,
        message=message,
        provider="main",
        model="one",
        upstream="sse",
        status=Status.STREAMING.value,
        owner=owner,
        heartbeat=heard,
        created_at=heard - timedelta(seconds=5),
    )
    return str(generation.id)


def state(generation: str) -> tuple[str, str]:
    found = Generation.objects.select_related("message").get(id=generation)
    return found.status, found.message.status


async def test_who_has_been_silent_is_ended_once_and_told_of(reaper: Reaper) -> None:
    now = datetime.now(UTC)
    dead, alive = [await in_database(running)(now - timedelta(seconds=ago)) for ago in (30, 1)]
    [lost] = await reaper.reap_silent([])
    assert (lost.generation, lost.provider, lost.model, lost.duration_ms) == (dead, "main", "one", 5000)
    assert await in_database(state)(dead) == ("interrupted", "interrupted")
    assert (await in_database(state)(alive))[0] == "streaming"
    assert await reaper.reap_silent([]) == []


async def test_what_was_told_beside_a_lost_reply_is_kept(reaper: Reaper) -> None:
    dead = await in_database(running)(datetime.now(UTC) - timedelta(seconds=30))
    told = [{"note": "trimmed", "details": {"left_out": 12}}]
    await in_database(Generation.objects.filter(id=dead).update)(notes=told)
    assert len(await reaper.reap_silent([])) == 1
    assert (await in_database(Generation.objects.get)(id=dead)).notes == told


async def test_what_runs_here_is_never_ended_though_its_heartbeats_did_not_come_through(reaper: Reaper) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    here = await in_database(running)(long_ago)
    elsewhere = await in_database(running)(long_ago, "another-worker")
    assert [lost.generation for lost in await reaper.reap_silent([here])] == [elsewhere]
    assert (await in_database(state)(here))[0] == "streaming"


async def test_the_dead_workers_replies_and_what_this_one_has_lost_are_ended_and_no_other(reaper: Reaper) -> None:
    now = datetime.now(UTC)
    dead = await in_database(running)(now, "dead-worker")
    lost_here = await in_database(running)(now - timedelta(seconds=30))
    alive = await in_database(running)(now - timedelta(seconds=30), "living-worker")
    just_begun = await in_database(running)(now)
    ended = await reaper.reap(["dead-worker"], [])
    assert {lost.generation for lost in ended} == {dead, lost_here}
    for one in (alive, just_begun):
        assert (await in_database(state)(one))[0] == "streaming"


async def test_two_reapers_at_once_end_each_reply_once(database: Database) -> None:
    other = Database()
    try:
        dead = [await in_database(running)(datetime.now(UTC), "dead-worker") for _ in range(120)]
        reapers = [reaper_of(database, "one"), reaper_of(other, "two")]
        ended = await asyncio.gather(*(reaper.reap(["dead-worker"], []) for reaper in reapers))
        assert sorted(lost.generation for some in ended for lost in some) == sorted(dead)
    finally:
        await asyncio.to_thread(other.close)


async def test_what_somebody_wanted_stopped_has_been_stopped(reaper: Reaper) -> None:
    dead = await in_database(running)(datetime.now(UTC), "dead-worker")
    await in_database(Generation.objects.filter(id=dead).update)(wanted="stop")
    assert len(await reaper.reap(["dead-worker"], [])) == 1
    assert await in_database(state)(dead) == ("cancelled", "cancelled")
    [usage] = await in_database(lambda: list(Generation.objects.values_list("output_tokens", "usage_estimated")))()
    assert usage == (2, True)


def plan(rows: QuerySet[Generation]) -> str:
    """How the database would find them."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan TO off")  # it would rather read a table as small as this one
        return rows.explain()


def test_the_dead_are_looked_for_among_the_live_alone() -> None:
    dead = Generation.objects.live().filter(heartbeat__lt=datetime.now(UTC))
    assert "generation_running" in plan(dead)
