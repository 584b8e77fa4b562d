"""Replies of workers that have gone are ended; those that run are not, whatever their rows look like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from chat.events import Status
from chat.models import Conversation, Generation, Message, User
from chat.services.database import Database
from chat.services.store import DatabaseStore

pytestmark = pytest.mark.django_db(transaction=True)

SILENT = timedelta(seconds=10)


@pytest.fixture
async def store() -> AsyncIterator[DatabaseStore]:
    database = Database()
    yield DatabaseStore(database, "this-worker")
    await asyncio.to_thread(database.close)


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


async def test_who_has_been_silent_is_ended_once_and_told_of(store: DatabaseStore) -> None:
    now = datetime.now(UTC)
    dead, alive = [await asyncio.to_thread(running, now - timedelta(seconds=ago)) for ago in (30, 1)]
    [lost] = await store.reap(SILENT)
    assert (lost.generation, lost.provider, lost.model, lost.duration_ms) == (dead, "main", "one", 5000)
    assert await asyncio.to_thread(state, dead) == ("interrupted", "interrupted")
    assert (await asyncio.to_thread(state, alive))[0] == "streaming"
    assert await store.reap(SILENT) == []


async def test_what_runs_here_is_never_ended_though_its_heartbeats_did_not_come_through(store: DatabaseStore) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    here = await asyncio.to_thread(running, long_ago)
    elsewhere = await asyncio.to_thread(running, long_ago, "another-worker")
    assert [lost.generation for lost in await store.reap(SILENT, [here])] == [elsewhere]
    assert (await asyncio.to_thread(state, here))[0] == "streaming"


def test_the_dead_are_looked_for_among_the_live_alone() -> None:
    dead = Generation.objects.live().filter(heartbeat__lt=datetime.now(UTC))
    assert "generation_running" in dead.explain()
