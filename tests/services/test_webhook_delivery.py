"""Deliveries of several workers: each goes out once, none is lost with a worker, and old ones go."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async as in_database
from django.db import connection, connections, transaction

from chat.engine.memory_log import MemoryLog
from chat.events import Status
from chat.models import Conversation, Generation, Message, User, Webhook, WebhookDelivery
from chat.services import webhook_delivery
from chat.services.database import Database
from chat.services.reaping import Reaper
from chat.services.store import DatabaseStore
from chat.services.webhook_addresses import Destinations
from chat.services.webhook_delivery import BROKEN_OFF, USER_AT_ONCE, WebhookDeliveries, waiting
from chat.services.webhook_events import EVENTS, tell
from chat.services.webhook_request import WebhookRequests
from chat.services.webhook_signing import new_secret
from chat.services.webhooks import Webhooks
from tests.webhook_sink import WebhookSink

pytestmark = pytest.mark.django_db(transaction=True)

Worker = Callable[..., WebhookDeliveries]


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    sink = WebhookSink()
    await sink.start()
    yield sink
    await sink.aclose()


@pytest.fixture
async def worker(sink: WebhookSink) -> AsyncIterator[Worker]:
    """One worker more, with threads and connections of its own."""
    databases: list[Database] = []
    workers: list[WebhookDeliveries] = []

    def make(
        retry_seconds: Sequence[float] = (), keep_seconds: float = math.inf, seconds: float = 5
    ) -> WebhookDeliveries:
        databases.append(Database())
        requests = WebhookRequests(Destinations([sink.url]), seconds)
        workers.append(
            WebhookDeliveries(
                database=databases[-1],
                requests=requests,
                retry_seconds=retry_seconds,
                at_once=20,
                keep_seconds=keep_seconds,
            )
        )
        return workers[-1]

    yield make
    for one in workers:
        await one.aclose()
    for database in databases:
        await asyncio.to_thread(database.close)
    await sync_to_async(connections.close_all)()  # what the test itself used: Django's coroutines share a thread


def generation_of(user: User, status: Status = Status.COMPLETED, heard: datetime | None = None) -> Generation:
    now = heard or datetime.now(UTC)
    conversation = Conversation.objects.create(user=user, created_at=now, updated_at=now)
    message = Message.objects.create(conversation=conversation, role="assistant", text="So far", created_at=now)
    return Generation.objects.create(
        user=user,
        conversation=conversation,
        message=message,
        provider="main",
        model="one",
        upstream="sse",
        status=status.value,
        owner="dead-worker",
        heartbeat=now,
        created_at=now,
        finished_at=None if status is Status.STREAMING else now,
    )


def webhook_of(name: str, url: str) -> Webhook:
    user, _made = User.objects.get_or_create(username=name)
    return Webhook.objects.create(user=user, url=f"{url}/{name}", events=list(EVENTS), secret=new_secret())


def make_due(webhook: Webhook, number: int) -> None:
    for _number in range(number):
        generation = generation_of(webhook.user)
        WebhookDelivery.objects.create(
            webhook=webhook, event=EVENTS[0], generation=generation.id, due_at=datetime.now(UTC)
        )


async def until(worker: WebhookDeliveries, ended: int) -> list[WebhookDelivery]:
    """Has it look again and again, as the housekeeping does."""
    rows = WebhookDelivery.objects.exclude(state="waiting")
    async with asyncio.timeout(20):
        while await rows.acount() < ended:
            await worker.send_due()
            await asyncio.sleep(0.02)
    return [row async for row in rows.order_by("id")]


async def test_two_workers_send_each_delivery_once(sink: WebhookSink, worker: Worker) -> None:
    for name in ("one", "two", "three"):
        await in_database(make_due)(await in_database(webhook_of)(name, sink.url), 12)
    workers = [worker(), worker()]
    rows, _same = await asyncio.gather(*(until(one, 36) for one in workers))
    assert {(row.state, row.attempts) for row in rows} == {("delivered", 1)}
    assert len(sink.received) == len({one.headers["webhook-id"] for one in sink.received}) == 36


async def test_what_a_dead_worker_had_begun_another_sends(sink: WebhookSink, worker: Worker) -> None:
    await in_database(make_due)(await in_database(webhook_of)("owner", sink.url), 1)
    sink.answers.append("hang")
    dead, living = worker(seconds=1), worker()
    await dead.send_due()
    await sink.until(1)
    await dead.aclose()  # without a word in the row: all that is left is its claim, which runs out
    await living.send_due()
    assert len(sink.received) == 1, "the claim still stands"
    [row] = await until(living, 1)
    assert (row.state, row.attempts) == ("delivered", 2)
    assert sink.received[0].body == sink.received[1].body


async def test_behind_the_last_attempt_it_is_given_up(sink: WebhookSink, worker: Worker) -> None:
    await in_database(make_due)(await in_database(webhook_of)("owner", sink.url), 1)
    sink.answers.extend([500, 500, 410, 200])
    [row] = await until(worker(retry_seconds=[0, 0]), 1)
    assert (row.state, row.attempts, row.status_code, row.error) == ("given_up", 3, 410, "STATUS")
    assert len(sink.received) == 3


async def test_what_comes_to_no_end_is_given_up_too(sink: WebhookSink, worker: Worker) -> None:
    """Workers have died in each of its attempts, or could not say how it ended."""
    await in_database(make_due)(await in_database(webhook_of)("owner", sink.url), 1)
    await WebhookDelivery.objects.aupdate(attempts=2 + BROKEN_OFF)
    [row] = await until(worker(retry_seconds=[0]), 1)
    assert (row.state, row.error) == ("given_up", "INTERRUPTED")
    assert sink.received == []


async def test_a_receiver_that_hangs_leaves_room_for_the_others(sink: WebhookSink, worker: Worker) -> None:
    slow = await in_database(webhook_of)("slow", sink.url)
    await in_database(make_due)(slow, 30)
    await in_database(make_due)(await in_database(webhook_of)("quick", sink.url), 1)
    sink.answers.extend(["hang"] * USER_AT_ONCE)
    one = worker()
    await one.send_due()
    await sink.until(USER_AT_ONCE + 1)
    assert [received.path for received in sink.received].count("/slow") == USER_AT_ONCE
    assert [received.path for received in sink.received].count("/quick") == 1


async def test_the_reply_of_a_dead_worker_is_told_as_failed_by_whoever_ends_it(
    sink: WebhookSink, worker: Worker
) -> None:
    webhook = await in_database(webhook_of)("owner", sink.url)
    generation = await in_database(generation_of)(webhook.user, Status.STREAMING, heard=datetime.now(UTC))
    database = Database()
    store = DatabaseStore(database, webhooks=True)
    reapers = [Reaper(database=database, store=store, log=MemoryLog(), worker=name) for name in ("a", "b")]
    await asyncio.gather(*(reaper.reap(["dead-worker"], []) for reaper in reapers))
    await asyncio.to_thread(database.close)
    [row] = await until(worker(), 1)
    assert row.generation == generation.id
    [received] = sink.received
    assert received.is_signed_with(webhook.secret)
    assert received.said["type"] == "generation.failed"
    assert received.said["data"]["status"] == "interrupted"
    assert received.said["data"]["code"] == "INTERRUPTED"


async def test_who_deletes_a_webhook_as_a_reply_ends_spoils_neither(sink: WebhookSink) -> None:
    """Another worker does: else there is one thread that writes."""
    webhook = await in_database(webhook_of)("owner", sink.url)
    generation = await in_database(generation_of)(webhook.user)
    webhooks, others = Webhooks(Database(), Destinations([sink.url]), None), Database()

    def end_meanwhile(loop: asyncio.AbstractEventLoop) -> None:
        user = Webhook._meta.get_field("user").get_db_prep_value(webhook.user_id, connections[others.alias])
        tell(others.alias, user, str(generation.id), Status.COMPLETED, datetime.now(UTC))
        loop.call_soon_threadsafe(told.set)
        time.sleep(0.3)  # until the transaction ends, whoever deletes has to wait

    told = asyncio.Event()
    ending = asyncio.create_task(others.write(end_meanwhile, asyncio.get_running_loop()))
    await told.wait()
    await asyncio.gather(ending, webhooks.delete(webhook.user_id, str(webhook.id)))
    assert not await Webhook.objects.aexists()
    assert not await WebhookDelivery.objects.aexists()
    await asyncio.gather(*(asyncio.to_thread(database.close) for database in (others, webhooks._database)))


async def test_what_ended_long_ago_goes_and_what_waits_stays(sink: WebhookSink, worker: Worker) -> None:
    webhook = await in_database(webhook_of)("owner", sink.url)
    await in_database(make_due)(webhook, 2)
    one, other = [row async for row in WebhookDelivery.objects.order_by("id")]
    await WebhookDelivery.objects.filter(id=one.id).aupdate(state="delivered", finished_at=datetime.now(UTC))
    await worker(keep_seconds=3600).forget_old()
    assert await WebhookDelivery.objects.acount() == 2
    await asyncio.sleep(0.01)
    await worker(keep_seconds=0).forget_old()
    assert [row.id async for row in WebhookDelivery.objects.all()] == [other.id]


async def test_however_many_are_old_all_of_them_go(
    sink: WebhookSink, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "FORGOTTEN_AT_ONCE", 2)
    await in_database(make_due)(await in_database(webhook_of)("owner", sink.url), 5)
    await WebhookDelivery.objects.aupdate(state="delivered", finished_at=datetime.now(UTC))
    await asyncio.sleep(0.01)
    await worker(keep_seconds=0).forget_old()
    assert not await WebhookDelivery.objects.aexists()


def test_what_is_due_is_looked_for_among_what_waits_alone() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan TO off")  # it would rather read a table as small as this one
        assert "webhook_delivery_due" in waiting().filter(due_at__lte=datetime.now(UTC) - timedelta(1)).explain()
