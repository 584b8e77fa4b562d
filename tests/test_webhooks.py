"""Webhooks as their owner sees them, and what their receivers get: signed, once, and again until they take it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from chat.models import User, WebhookDelivery
from tests import conftest
from tests.conftest import Server
from tests.webhook_sink import WebhookSink

pytestmark = pytest.mark.django_db(transaction=True)

Bearer = Callable[[User], Awaitable[dict[str, str]]]
JSON = {"Accept": "application/json"}


@pytest.fixture
def listed() -> list[str]:
    """Where webhooks may go, beside the sink."""
    return ["hooks.example.com", ".apps.example.com", "localhost:1"]


@pytest.fixture(autouse=True)
async def sink(settings: Settings, monkeypatch: pytest.MonkeyPatch, listed: list[str]) -> AsyncIterator[WebhookSink]:
    """Made before the server, which reads where webhooks may go when it starts."""
    sink = WebhookSink()
    await sink.start()
    settings.CHAT_WEBHOOK_HOSTS = [sink.url, *listed] if listed else []
    settings.CHAT_WEBHOOKS_PER_USER = 2
    settings.CHAT_WEBHOOK_SECONDS = 0.5
    settings.CHAT_WEBHOOK_RETRY_SECONDS = [0.05] * 4
    failing = conftest.PROVIDERS.replace('["tokens-3-0",', '["tokens-3-0", "fault-500",') + "retries = 0\n"
    monkeypatch.setattr(conftest, "PROVIDERS", failing)
    yield sink
    await sink.aclose()


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


@pytest.fixture
def stranger(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("stranger")


@pytest.fixture
async def client(server: Server, owner: User, bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(owner))


async def make_webhook(client: httpx.AsyncClient, url: str, **fields: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/webhooks", json={"url": url, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def say(client: httpx.AsyncClient, model: str = "tokens-3-0") -> dict[str, Any]:
    response = await client.post("/api/v1/chat", json={"message": "a secret", "model": model}, headers=JSON)
    said: dict[str, Any] = response.json()
    return said


async def deliveries(client: httpx.AsyncClient, webhook: dict[str, Any], ended: int) -> list[dict[str, Any]]:
    """Once so many have ended: the receiver has an event a moment before its row says so."""
    async with asyncio.timeout(30):
        while True:
            response = await client.get(f"/api/v1/webhooks/{webhook['id']}/deliveries")
            assert response.status_code == 200, response.text
            items: list[dict[str, Any]] = response.json()["items"]
            if sum(item["state"] != "waiting" for item in items) >= ended:
                return items
            await asyncio.sleep(0.05)


async def test_the_end_of_a_reply_is_told_once_signed_and_without_its_words(
    sink: WebhookSink, client: httpx.AsyncClient, server: Server, stranger: User, bearer: Bearer
) -> None:
    webhook = await make_webhook(client, f"{sink.url}/owners?key=1")
    assert webhook["events"] == ["generation.completed", "generation.failed"]
    await make_webhook(server.client(await bearer(stranger)), f"{sink.url}/strangers")
    said = await say(client)
    [received] = await sink.until(1)
    generation = said["generation"]
    assert received.path == "/owners?key=1"
    assert received.is_signed_with(webhook["secret"])
    assert received.said == {
        "id": received.headers["webhook-id"],
        "type": "generation.completed",
        "created_at": generation["finished_at"],
        "data": {
            "generation": generation["id"],
            "conversation": said["conversation"],
            "message": said["message"]["id"],
            "status": "completed",
            "finish_reason": "stop",
            "code": None,
        },
    }
    [delivery] = await deliveries(client, webhook, ended=1)
    assert delivery["id"] == received.said["id"]
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("delivered", 200, 1)
    assert (delivery["error"], delivery["due_at"]) == (None, None)
    assert len(sink.received) == 1


async def test_each_way_to_end_has_one_event(sink: WebhookSink, client: httpx.AsyncClient) -> None:
    await make_webhook(client, f"{sink.url}/all")
    await make_webhook(client, f"{sink.url}/bad-ends", events=["generation.failed"])
    failed = await say(client, "fault-500")
    seen = await sink.until(2)
    assert sorted(one.path for one in seen) == ["/all", "/bad-ends"]
    assert {one.said["type"] for one in seen} == {"generation.failed"}
    assert {one.said["data"]["generation"] for one in seen} == {failed["generation"]}
    assert seen[0].said["data"]["status"] == "failed"
    assert seen[0].said["data"]["code"] == failed["code"] == "UPSTREAM_UNAVAILABLE"
    later = {"Prefer": "respond-async"}
    started = await client.post("/api/v1/chat", json={"message": "more", "model": "tokens-3000-20"}, headers=later)
    stopped = await client.post(f"/api/v1/generations/{started.json()['generation']}/stop")
    assert stopped.json()["status"] == "cancelled"
    last = (await sink.until(3))[-1]
    assert (last.path, last.said["type"]) == ("/all", "generation.completed")
    assert (last.said["data"]["status"], last.said["data"]["finish_reason"]) == ("cancelled", "cancelled")


async def test_whatever_is_not_taken_comes_again_the_same(sink: WebhookSink, client: httpx.AsyncClient) -> None:
    sink.answers.extend([500, 307, "hang", "garbage"])
    webhook = await make_webhook(client, f"{sink.url}/hook")
    await say(client)
    seen = await sink.until(5)
    assert {one.path for one in seen} == {"/hook"}, "a redirect is not followed"
    assert len({(one.headers["webhook-id"], one.body) for one in seen}) == 1
    assert all(one.is_signed_with(webhook["secret"]) for one in seen)
    [delivery] = await deliveries(client, webhook, ended=1)
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("delivered", 5, None)


async def test_an_endless_answer_is_not_read(sink: WebhookSink, client: httpx.AsyncClient) -> None:
    sink.answers.append("huge")
    webhook = await make_webhook(client, sink.url)
    await say(client)
    [delivery] = await deliveries(client, webhook, ended=1)
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("delivered", 200, 1)


async def test_the_secret_is_shown_once_and_a_list_has_only_ones_own(
    sink: WebhookSink, client: httpx.AsyncClient, server: Server, stranger: User, bearer: Bearer
) -> None:
    first = await make_webhook(client, f"{sink.url}/1")
    second = await make_webhook(client, f"{sink.url}/2", events=["generation.failed", "generation.failed"])
    assert first["secret"].startswith("whsec_")
    assert first["secret"] != second["secret"]
    assert second["events"] == ["generation.failed"]
    listed = (await client.get("/api/v1/webhooks")).json()
    assert listed == {
        "items": [{name: one[name] for name in ("id", "url", "events", "created_at")} for one in (second, first)],
        "next": None,
    }
    page = (await client.get("/api/v1/webhooks?limit=1")).json()
    assert [one["id"] for one in page["items"]] == [second["id"]]
    rest = (await client.get("/api/v1/webhooks", params={"cursor": page["next"]})).json()
    assert [one["id"] for one in rest["items"]] == [first["id"]]
    other = server.client(await bearer(stranger))
    assert (await other.get("/api/v1/webhooks")).json()["items"] == []
    assert (await other.delete(f"/api/v1/webhooks/{first['id']}")).status_code == 404
    assert (await other.get(f"/api/v1/webhooks/{first['id']}/deliveries")).status_code == 404
    too_many = await client.post("/api/v1/webhooks", json={"url": f"{sink.url}/3"})
    assert (too_many.status_code, too_many.json()["code"]) == (409, "CONFLICT")
    assert (await client.delete(f"/api/v1/webhooks/{first['id']}")).status_code == 204
    same = {"json": {"url": f"{sink.url}/3"}, "headers": {"Idempotency-Key": "once"}}
    answers = [await client.post("/api/v1/webhooks", **same) for _time in range(2)]
    assert answers[0].status_code == answers[1].status_code == 201
    assert answers[0].json() == answers[1].json(), "whose client did not see the first answer, sees the secret now"


async def test_of_deleted_conversations_and_webhooks_nothing_is_told(
    sink: WebhookSink, client: httpx.AsyncClient
) -> None:
    sink.answers.append(500)
    gone, kept = await make_webhook(client, f"{sink.url}/gone"), await make_webhook(client, f"{sink.url}/kept")
    assert (await client.delete(f"/api/v1/webhooks/{gone['id']}")).status_code == 204
    said = await say(client)
    await sink.until(1)
    assert (await client.delete(f"/api/v1/conversations/{said['conversation']}")).status_code == 204
    [delivery] = await deliveries(client, kept, ended=1)
    assert (delivery["state"], delivery["error"]) == ("given_up", "GENERATION_DELETED")
    assert [one.path for one in sink.received] == ["/kept"]


async def test_an_account_that_is_switched_off_hears_nothing(
    sink: WebhookSink, client: httpx.AsyncClient, owner: User
) -> None:
    sink.answers.append(500)
    webhook = await make_webhook(client, sink.url)
    await say(client)
    await sink.until(1)
    await User.objects.filter(id=owner.id).aupdate(is_active=False)
    ended = WebhookDelivery.objects.filter(webhook_id=webhook["id"]).exclude(state="waiting")
    async with asyncio.timeout(30):
        while True:
            if errors := [row.error async for row in ended.all()]:
                break
            await asyncio.sleep(0.05)
    assert errors == ["ACCOUNT_INACTIVE"]
    assert len(sink.received) == 1


async def test_only_listed_addresses_are_taken(sink: WebhookSink, client: httpx.AsyncClient) -> None:
    """Which are refused, `tests/services/test_webhook_addresses.py` says; these are the ways to be told."""
    refused = {
        "https://evil.example.com/": "listed",
        "https://localhost:1/": "public internet",  # a listed name that leads inside
        "https://me:secret@hooks.example.com/": "password",
        "https://hooks.example.com/\udc00": "",
        "ftp://hooks.example.com/": "https://",
    }
    for url, words in refused.items():
        response = await post(client, {"url": url})
        assert (response.status_code, response.json()["code"]) == (422, "INVALID_REQUEST"), url
        assert words in response.json()["error"]
        assert "secret" not in response.text
    for body in ({}, {"url": 5}, {"url": sink.url, "events": []}, {"url": sink.url, "events": ["all"]}):
        response = await post(client, body)
        assert (response.status_code, response.json()["code"]) == (422, "INVALID_REQUEST"), body
    assert (await client.get("/api/v1/webhooks")).json()["items"] == []
    url = "HTTPS://One.Apps.Example.com:443/a?b=c"
    assert (await make_webhook(client, url))["url"] == url


async def post(client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Also what no text may hold."""
    headers = {"Content-Type": "application/json"}
    return await client.post("/api/v1/webhooks", content=json.dumps(body), headers=headers)


@pytest.mark.parametrize("listed", [[]])
async def test_without_listed_hosts_there_are_no_webhooks(sink: WebhookSink, client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/webhooks", json={"url": sink.url})
    assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
    assert (await client.get("/api/v1/webhooks")).json() == {"items": [], "next": None}
    assert (await say(client))["generation"]["status"] == "completed"
