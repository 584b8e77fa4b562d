"""Switching a provider off and on while the server runs: at the admin's page, for everybody who asks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry

from chat import runtime
from chat.errors import ErrorCode, NotFound
from chat.models import Conversation, ProviderSwitch, User
from chat.providers.base import Model, Profile
from chat.providers.declaration import Declaration, Secret
from chat.providers.registry import Registry, UnknownModel
from chat.providers.resilience.breaker import FAILURES
from chat.services.database import Database
from chat.services.provider_switches import ProviderSwitches, switches
from tests.conftest import Server
from tests.providers.conftest import until

Bearer = Callable[[User], Awaitable[dict[str, str]]]


def registry_of(*names: str) -> Registry:
    """Each falls back to the next; nobody is asked."""
    return Registry(
        [
            Declaration(
                "openai_chat",
                Profile(name, name, (Model("m", "m"),), fallback=names[number + 1 : number + 2]),
                "http://127.0.0.1:1/v1",
                {"api_key": (Secret("none"),)},
            )
            for number, name in enumerate(names)
        ],
        {},
    )


@pytest.fixture
def owner(server: Server, make_user: Callable[..., User]) -> User:
    return make_user("owner")


async def state_of(server: Server, headers: dict[str, str], provider: str = "simulated") -> str:
    answer = await server.client(headers).get("/api/v1/providers")
    return next(row["state"] for row in answer.json()["items"] if row["id"] == provider)


async def entries() -> list[tuple[uuid.UUID, str, str]]:
    rows = LogEntry.objects.order_by("pk").values_list("user_id", "object_id", "change_message")
    return [row async for row in rows]


# The registry


async def test_who_is_switched_off_is_neither_chosen_nor_a_fallback() -> None:
    registry = registry_of("one", "two", "three")
    registry.switch("one", False)
    assert (registry.state("one"), registry.why_off("one")) == ("off", "it was switched off")
    assert registry.choose(None, None)[0].id == "two"
    assert registry.choose(None, "m")[0].id == "two"
    with pytest.raises(UnknownModel):
        registry.choose("one", "m")
    registry.switch("three", False)
    assert list(registry.fallbacks(registry.providers["two"])) == []
    registry.switch("one", True)
    assert (registry.state("one"), registry.why_off("one")) == ("ready", None)
    assert registry.choose(None, None)[0].id == "one"
    await registry.aclose()


async def test_one_that_lacks_its_key_stays_off_when_it_is_switched_on() -> None:
    declaration = Declaration(
        "openai_chat", Profile("one", "one", (Model("m", "m"),)), "http://x/v1", {"api_key": (Secret("env:NO_SUCH"),)}
    )
    registry = Registry([declaration], {})
    registry.switch("one", False)
    registry.switch("one", True)
    assert registry.state("one") == "off"
    assert "NO_SUCH" in str(registry.why_off("one"))
    await registry.aclose()


# The database, and who looks


async def test_a_switch_is_in_effect_here_at_once_and_in_another_worker_at_its_next_look(
    server: Server, owner: User
) -> None:
    here, there = registry_of("one", "two"), registry_of("one", "two")
    database = Database()
    first, second = ProviderSwitches(database, here), ProviderSwitches(database, there)
    await first.switch("one", False, owner.id)
    assert here.state("one") == "off"
    assert there.state("one") == "ready"
    await second.look()
    assert (there.state("one"), there.state("two")) == ("off", "ready")
    told = await database.read(switches)
    assert [(provider, one.by) for provider, one in told.items()] == [("one", "owner")]
    await second.switch("one", True, owner.id)
    await first.look()
    assert here.state("one") == there.state("one") == "ready"
    with pytest.raises(NotFound):
        await first.switch("nobody", False, owner.id)
    await sync_to_async(database.close)()


async def test_what_was_switched_while_somebody_looked_stays(server: Server, owner: User) -> None:
    class SlowDatabase(Database):
        """What it has read is old by the time it is told."""

        async def read(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            old = await super().read(function, *args, **kwargs)
            await subject.switch("one", False, owner.id)
            return old

    registry, database = registry_of("one"), SlowDatabase()
    subject = ProviderSwitches(database, registry)
    await subject.look()
    assert registry.state("one") == "off"
    await sync_to_async(database.close)()


async def test_the_log_names_who_did_what_once(server: Server, owner: User) -> None:
    registry, database = registry_of("one"), Database()
    subject = ProviderSwitches(database, registry)
    for on in (False, False, True, True):
        await subject.switch("one", on, owner.id)
    assert await entries() == [
        (owner.id, "one", "one: switched off"),
        (owner.id, "one", "one: switched on"),
    ]
    await sync_to_async(database.close)()


# The server


async def test_a_conversation_leaves_its_model_only_when_the_provider_is_off(
    server: Server, owner: User, bearer: Bearer
) -> None:
    client = server.client({**await bearer(owner), "Prefer": "respond-async"})
    registry, now = runtime.current().registry, datetime.now(UTC)
    begun = await Conversation.objects.acreate(
        user=owner, provider="simulated", model="tokens-3000-20", created_at=now, updated_at=now
    )
    breaker = registry.breaker("simulated", "tokens-3000-20")
    for _ in range(FAILURES):
        passage = breaker.enter(0.0, alone=True)
        assert passage is not None
        passage.failed(ErrorCode.UPSTREAM_UNAVAILABLE, 0.0)
    assert not registry.is_ready("simulated", "tokens-3000-20")
    send = {"message": "And now?", "conversation": str(begun.id)}
    started = (await client.post("/api/v1/chat", json=send)).json()
    assert (started["provider"], started["model"]) == ("simulated", "tokens-3000-20"), "its fallbacks see to that"
    registry.switch("simulated", False)
    assert (await client.post("/api/v1/chat", json=send)).status_code == 422
    await client.post(f"/api/v1/generations/{started['generation']}/stop")


async def test_a_running_server_hears_of_a_switch_of_another_process(
    server: Server, owner: User, bearer: Bearer
) -> None:
    headers = await bearer(owner)
    assert await state_of(server, headers) == "ready"
    await ProviderSwitch.objects.acreate(provider="simulated", by=owner)
    await until(lambda: runtime.current().registry.state("simulated") == "off", 20.0)
    assert await state_of(server, headers) == "off"
    refused = await server.client(headers).post("/api/v1/chat", json={"message": "Hello?", "provider": "simulated"})
    assert refused.status_code == 422
    await ProviderSwitch.objects.all().adelete()
    await until(lambda: runtime.current().registry.state("simulated") == "ready", 20.0)


async def test_a_server_starts_with_what_was_switched_off_before(server: Server, owner: User) -> None:
    await ProviderSwitch.objects.acreate(provider="simulated", by=None)
    await runtime.current().close()
    runtime.forget()
    await runtime.current().start()
    assert runtime.current().registry.state("simulated") == "off"


async def test_a_running_reply_goes_on(server: Server, owner: User, bearer: Bearer) -> None:
    client = server.client({**await bearer(owner), "Prefer": "respond-async"})
    asked = {"message": "Hello?", "provider": "simulated", "model": "tokens-3000-20"}
    generation = (await client.post("/api/v1/chat", json=asked)).json()["generation"]

    async def seen() -> tuple[str, int]:
        body = (await client.get(f"/api/v1/generations/{generation}")).json()
        return body["status"], body["seq"]

    for _ in range(500):
        if (await seen())[1] >= 2:  # its start, and its first words
            break
        await asyncio.sleep(0.01)
    await runtime.current().switches.switch("simulated", False, owner.id)
    before = (await seen())[1]
    assert before >= 2
    for _ in range(500):
        status, now = await seen()
        if now >= before + 3:
            break
        await asyncio.sleep(0.01)
    assert now >= before + 3
    assert status == "streaming"
    await client.post(f"/api/v1/generations/{generation}/stop")
