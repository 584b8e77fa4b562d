"""Open streams and the sign-ins that they rest on, where nobody announces an end, or not in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import transaction

from chat import runtime
from chat.models import User
from chat.services.database import Database
from chat.services.identity import Identities, Identity
from chat.services.sign_outs import SignOuts, Watch
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


async def signed_in() -> Identity:
    current = runtime.current()
    identity = await current.identities.by_bearer((await current.tokens.sign_in("owner", PASSWORD)).access)
    assert identity is not None
    return identity


def watched(identity: Identity) -> tuple[asyncio.Event, Watch]:
    ended = asyncio.Event()
    return ended, runtime.current().sign_outs.watch(identity, ended.set)


async def test_an_end_that_nobody_announces_is_found_by_a_look(server: Server, owner: User) -> None:
    ended, _watch = watched(await signed_in())
    left, watch = watched(await signed_in())
    runtime.current().sign_outs.unwatch(watch)
    await runtime.current().sign_outs.look()
    assert not ended.is_set()
    await User.objects.filter(pk=owner.pk).aupdate(is_active=False)
    await runtime.current().sign_outs.look()
    assert ended.is_set()
    assert not left.is_set(), "nobody watches it any more"


async def test_sessions_that_are_deleted_as_a_set_end_what_rests_on_them(server: Server, owner: User) -> None:
    going, staying = await signed_in(), await signed_in()
    (ended, _one), (other, _two) = watched(going), watched(staying)
    await sync_to_async(Session.objects.filter(pk=going.session_key).delete)()
    async with asyncio.timeout(10):
        await ended.wait()
    assert not other.is_set()


async def test_what_is_rolled_back_ends_nothing(server: Server, owner: User) -> None:
    identity = await signed_in()
    ended, _watch = watched(identity)

    def delete_in_vain() -> None:
        with transaction.atomic():
            Session.objects.filter(pk=identity.session_key).delete()
            transaction.set_rollback(True)

    await sync_to_async(delete_in_vain)()
    await runtime.current().sign_outs.look()
    assert not ended.is_set()
    assert await runtime.current().identities.still_valid(identity)


async def test_a_stream_that_starts_as_its_sign_in_ends_ends_too(server: Server, owner: User) -> None:
    identity = await signed_in()
    first, _watch = watched(identity)
    await sync_to_async(Session.objects.filter(pk=identity.session_key).delete)()
    async with asyncio.timeout(10):
        await first.wait()
        ended, _watch = watched(identity)  # its request was authenticated before
        await ended.wait()


async def test_an_expiry_that_was_put_off_ends_nothing_yet(server: Server, owner: User) -> None:
    identity = await signed_in()
    soon = datetime.now(UTC) + timedelta(seconds=0.1)
    ended, watch = watched(replace(identity, expires_at=soon))
    deadline = asyncio.get_running_loop().time() + 10
    while watch.identity.expires_at == soon:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    assert watch.identity == identity
    assert not ended.is_set()


async def test_a_database_that_does_not_answer_signs_nobody_out(server: Server, owner: User) -> None:
    current = runtime.current()
    identity, ended = await signed_in(), asyncio.Event()
    full = Database(reads_waiting=0)
    sign_outs = SignOuts(Identities(full, current.identities._key_use), current.channel, current._tasks)
    sign_outs.watch(identity, ended.set)
    await Session.objects.all().adelete()
    await sign_outs.look()
    full.close()
    assert not ended.is_set()
