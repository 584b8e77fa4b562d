"""`Idempotency-Key` on the calls that create something else than a reply: one key, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from chat import runtime
from chat.errors import Conflict
from chat.models import Conversation, IdempotentAnswer, User
from chat.services.idempotency import UNFINISHED_SECONDS, Answer
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

Bearer = Callable[[User], Awaitable[dict[str, str]]]
CONVERSATIONS = "/api/v1/conversations"


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    return {name: make_user(name) for name in ("owner", "stranger")}


@pytest.fixture
async def owner(server: Server, users: dict[str, User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users["owner"]))


@pytest.fixture
async def stranger(server: Server, users: dict[str, User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users["stranger"]))


async def create(client: httpx.AsyncClient, key: str | None, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(CONVERSATIONS, json=fields, headers=headers)


async def test_the_same_request_again_is_answered_the_same(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    first, second = await create(owner, "k", title="new"), await create(owner, "k", title="new")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert ("Idempotency-Replayed" in first.headers, second.headers["Idempotency-Replayed"]) == (False, "true")
    other = await create(stranger, "k", title="new")
    assert other.json()["id"] != first.json()["id"], "a key is its user's own"
    assert await Conversation.objects.acount() == 2


async def test_a_key_of_another_request_is_a_conflict_and_one_without_key_is_not_kept(owner: httpx.AsyncClient) -> None:
    await create(owner, "k", title="new")
    for refused in (await create(owner, "k", title="other"), await owner.post(
        "/api/v1/api-keys", json={"name": "new"}, headers={"Idempotency-Key": "k"}
    )):  # fmt: skip
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
        assert "Retry-After" not in refused.headers
    assert (await create(owner, "x" * 256, title="new")).status_code == 413
    assert (await create(owner, None, title="new")).json()["id"] != (await create(owner, None, title="new")).json()[
        "id"
    ]
    assert await IdempotentAnswer.objects.acount() == 1


async def test_many_at_once_create_one(owner: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(create(owner, "k", title="new") for _ in range(20)))
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(made) == 1
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} <= {(409, "1")}
    assert (await create(owner, "k", title="new")).json()["id"] in made
    assert await Conversation.objects.acount() == 1


async def test_what_was_refused_may_be_tried_again(owner: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    request = {"name": "", "scopes": ["chat"]}
    assert (await owner.post("/api/v1/api-keys", json=request, headers=key)).status_code == 422
    assert not await IdempotentAnswer.objects.aexists()
    assert (await owner.post("/api/v1/api-keys", json={**request, "name": "mine"}, headers=key)).status_code == 201


async def test_a_secret_is_not_kept(owner: httpx.AsyncClient) -> None:
    request = {"json": {"name": "mine"}, "headers": {"Idempotency-Key": "k"}}
    first, second = [await owner.post("/api/v1/api-keys", **request) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201), first.text
    assert second.json() == {**first.json(), "key": None}
    row = await IdempotentAnswer.objects.aget()
    assert first.json()["key"].encode() not in bytes(row.body)


async def test_the_key_of_a_worker_that_died_is_taken_over_and_the_dead_write_nothing(
    owner: httpx.AsyncClient, users: dict[str, User]
) -> None:
    idempotency, user = runtime.current().idempotency, users["owner"].pk
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Answer:
        began.set()
        await go_on.wait()
        return Answer(201, b'"slow"')

    async def swift() -> Answer:
        return Answer(201, b'"swift"')

    first = asyncio.create_task(idempotency.once(user, "k", "digest", slow))
    await began.wait()
    with pytest.raises(Conflict) as refusal:
        await idempotency.once(user, "k", "digest", swift)
    assert refusal.value.retry_after == 1
    long_ago = datetime.now(UTC) - timedelta(seconds=UNFINISHED_SECONDS + 1)
    await IdempotentAnswer.objects.aupdate(created_at=long_ago)
    assert await idempotency.once(user, "k", "digest", swift) is None
    go_on.set()
    await first
    assert await idempotency.once(user, "k", "digest", slow) == Answer(201, b'"swift"')


async def test_who_leaves_in_the_middle_finds_the_answer(users: dict[str, User], server: Server) -> None:
    idempotency, user = runtime.current().idempotency, users["owner"].pk
    began, go_on = asyncio.Event(), asyncio.Event()

    async def make() -> Answer:
        began.set()
        await go_on.wait()
        return Answer(200, b"{}")

    leaving = asyncio.create_task(idempotency.once(user, "k", "digest", make))
    await began.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go_on.set()
    kept = None
    while kept is None:
        try:
            kept = await idempotency.once(user, "k", "digest", make)
        except Conflict:
            await asyncio.sleep(0.01)
    assert kept == Answer(200, b"{}")


async def test_old_answers_are_deleted(owner: httpx.AsyncClient) -> None:
    await create(owner, "old", title="new")
    await IdempotentAnswer.objects.aupdate(created_at=datetime.now(UTC) - timedelta(days=1, seconds=1))
    await create(owner, "new", title="new")
    await runtime.current().idempotency.sweep()
    assert [row.key async for row in IdempotentAnswer.objects.all()] == ["new"]
