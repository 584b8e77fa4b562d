"""`ETag` and `If-None-Match`: what a client has already is not sent again, and nobody is told of what others have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from chat.models import User
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

Bearer = Callable[[User], Awaitable[dict[str, str]]]
CONVERSATIONS = "/api/v1/conversations"
PER_ANSWER = {"etag", "x-request-id"}


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> list[User]:
    return [make_user("owner"), make_user("stranger")]


@pytest.fixture
async def client(server: Server, users: list[User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users[0]))


async def test_lists_and_objects_are_sent_again_only_when_they_have_changed(client: httpx.AsyncClient) -> None:
    conversation = (await client.post(CONVERSATIONS, json={"title": "Tea"})).json()["id"]
    said = await client.post(
        "/api/v1/chat",
        json={"message": "hello", "conversation": conversation, "model": "tokens-3-0"},
        headers={"Accept": "application/json"},
    )
    one = f"{CONVERSATIONS}/{conversation}"
    generation = f"/api/v1/generations/{said.json()['generation']['id']}"
    paths = (CONVERSATIONS, one, f"{one}/messages", generation, "/api/v1/providers", "/api/v1/me", "/api/openapi.json")
    for path in paths:
        first = await client.get(path)
        assert first.status_code == 200
        assert first.headers["Cache-Control"] == "private, no-cache"
        assert {"Authorization", "Cookie", "Accept-Encoding"} <= set(first.headers["Vary"].split(", "))
        tag = first.headers["ETag"]
        for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = await client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), (path, known)
            assert again.headers["Cache-Control"] == "private, no-cache"
            assert again.headers["Vary"] == first.headers["Vary"]
        assert (await client.get(path, headers={"If-None-Match": '"other"'})).json() == first.json()
    for path in (CONVERSATIONS, one):
        tag = (await client.get(path)).headers["ETag"]
        await client.patch(one, json={"title": f"Tea, {path}"})
        changed = await client.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert f"Tea, {path}" in changed.text


async def test_nobody_gets_304_for_what_another_one_has(
    server: Server, users: list[User], client: httpx.AsyncClient, bearer: Bearer
) -> None:
    stranger = server.client(await bearer(users[1]))
    empty = await client.get(CONVERSATIONS)
    assert (await stranger.get(CONVERSATIONS)).json() == empty.json()
    asked = await stranger.get(CONVERSATIONS, headers={"If-None-Match": empty.headers["ETag"]})
    assert asked.status_code == 200, "an empty list is somebody's too"
    owned = (await client.post(CONVERSATIONS, json={"title": "A secret"})).json()["id"]
    tag = (await client.get(f"{CONVERSATIONS}/{owned}")).headers["ETag"]
    hidden = await stranger.get(f"{CONVERSATIONS}/{owned}", headers={"If-None-Match": tag})
    assert hidden.status_code == 404
    assert (await server.client().get(CONVERSATIONS, headers={"If-None-Match": "*"})).status_code == 401


async def test_what_is_no_good_answer_to_a_get_is_kept_by_nobody(client: httpx.AsyncClient) -> None:
    made = await client.post(CONVERSATIONS, json={}, headers={"If-None-Match": "*"})
    absent = await client.get(f"{CONVERSATIONS}/01985f2e-7a10-7c4e-9b1d-2f6a8c3e5d10")
    for answer, status in ((made, 201), (absent, 404)):
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers


async def test_head_says_what_get_would(client: httpx.AsyncClient) -> None:
    await client.post(CONVERSATIONS, json={"title": "Tea"})
    for path in (CONVERSATIONS, "/api/v1/me", f"{CONVERSATIONS}/nothing", "/healthz"):
        get, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in get.headers.keys() - PER_ANSWER:
            assert head.headers[name] == get.headers[name]
        assert head.headers.get("ETag") == get.headers.get("ETag")
    started = await client.post("/api/v1/chat", json={"message": "hello"}, headers={"Prefer": "respond-async"})
    stream = await client.head(f"/api/v1/generations/{started.json()['generation']}/events")
    assert (stream.status_code, stream.content) == (200, b"")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    posted = await client.head("/api/v1/chat")
    assert (posted.status_code, posted.headers["Allow"]) == (405, "POST")
