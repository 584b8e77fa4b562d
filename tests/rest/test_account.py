"""What is in an account's own hands: its language, all that it has as one file, and its end."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.test import Client

from chat.models import (
    ApiKey,
    Conversation,
    Feedback,
    Generation,
    IdempotentAnswer,
    Message,
    SearchEntry,
    User,
    Webhook,
)
from chat.services import account_deletion, message_deletion
from tests.chat_server import ChatServer
from tests.conftest import PASSWORD, Server
from tests.rest.conftest import say, stored
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.django_db(transaction=True)

FAREWELL = {"password": PASSWORD}


async def farewell(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.request("DELETE", "me", json=body)


# The language


async def test_a_chosen_language_is_that_of_the_answers(owner: httpx.AsyncClient) -> None:
    chosen = await owner.patch("me", json={"language": "zh-hans"})
    assert chosen.json() == (await owner.get("me")).json()
    assert chosen.json()["language"] == "zh-hans"
    assert (await owner.patch("me", json={})).json()["language"] == "zh-hans"
    assert (await owner.patch("me", json={"language": None})).json()["language"] == "en"
    for wrong in ("xx", 5, ["en"], "en\x00", "x" * 500):
        refused = await owner.patch("me", json={"language": wrong})
        assert (refused.status_code, refused.json()["details"]["field"]) == (422, "language")


async def test_refusals_are_in_the_language_that_was_chosen(owner: httpx.AsyncClient) -> None:
    await owner.patch("me", json={"language": "zh-hans"})
    refused = [
        await owner.post("chat", json={"message": ""}),
        await owner.post("conversations", json={"title": 5}, headers={"Idempotency-Key": "titled"}),
        await owner.get("generations/unknown"),
    ]
    assert all("\u4e00" <= answer.json()["error"][0] <= "\u9fff" for answer in refused), refused
    await owner.patch("me", json={"language": None})
    assert (await owner.post("chat", json={"message": ""})).json()["error"] == "Please write a message."


# All that there is


async def test_an_account_goes_out_whole_and_its_conversations_come_in_elsewhere(
    users: dict[str, User], clients: dict[str, httpx.AsyncClient], owner: httpx.AsyncClient
) -> None:
    said = await say(owner, "a question")
    await owner.post(f"messages/{said['message']['id']}/feedback", json={"value": 1, "comment": "good"})
    for number in range(3):
        await stored(users["owner"], f"long {number}", *[f"text {turn}" for turn in range(45)])
    await stored(users["owner"], "its client keeps it", "x", stored=False)
    await stored(users["stranger"], "a stranger's", "secret")
    key = await ApiKey.objects.acreate(
        user=users["owner"], name="k", prefix="chat_abc", digest="d" * 64, scopes=["chat"]
    )
    hook = await Webhook.objects.acreate(user=users["owner"], url="https://example.com/x", events=[], secret="s3cret")
    answer = await owner.get("me/export")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="chat-account.json"'
    assert "s3cret" not in answer.text
    assert "d" * 64 not in answer.text
    assert "secret" not in answer.text
    document = answer.json()
    assert (document["format"], document["version"]) == ("chat.account", 1)
    assert document["profile"]["username"] == "owner"
    assert [item["id"] for item in document["api_keys"]] == [str(key.id)]
    assert [item["id"] for item in document["webhooks"]] == [str(hook.id)]
    assert [len(item["messages"]) for item in document["conversations"]] == [2, 45, 45, 45]
    assert document["conversations"][0]["messages"][1]["feedback"] == {"value": 1, "comment": "good"}
    taken = await clients["stranger"].post("conversations/import", json=document)
    assert [item["message_count"] for item in taken.json()["items"]] == [2, 45, 45, 45]
    empty = (await clients["staff"].get("me/export")).json()
    assert empty["conversations"] == []


# The end


async def test_an_account_is_gone_with_all_that_it_had_and_nothing_of_others(
    server: Server,
    users: dict[str, User],
    clients: dict[str, httpx.AsyncClient],
    owner: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_deletion, "BATCH_MESSAGES", 4)
    monkeypatch.setattr(account_deletion, "BATCH_CONVERSATIONS", 2)
    kept = await say(clients["stranger"], "mine stays")
    said = await say(owner, "a question")
    await owner.post(f"messages/{said['message']['id']}/feedback", json={"value": 1})
    for number in range(3):
        await stored(users["owner"], f"t{number}", *["text"] * 7)
    await ApiKey.objects.acreate(user=users["owner"], name="k", prefix="p", digest="d" * 64)
    await Webhook.objects.acreate(user=users["owner"], url="https://example.com/x", secret="s")
    await owner.post("conversations", json={}, headers={"Idempotency-Key": "k"})
    assert (await owner.get("search", params={"q": "text"})).json()["items"]
    running = await owner.post(
        "chat", json={"message": "more", "model": "tokens-3000-20"}, headers={"Prefer": "respond-async"}
    )
    assert running.status_code == 202
    assert (await farewell(owner, **FAREWELL)).status_code == 204
    assert (await owner.get("me")).status_code == 401
    theirs = [str(pk) async for pk in User.objects.values_list("username", flat=True)]
    assert sorted(theirs) == ["staff", "stranger"]
    for model, count in (
        (Conversation, 1), (Message, 2), (Generation, 1), (Feedback, 0), (SearchEntry, 0), (ApiKey, 0), (Webhook, 0),
        (IdempotentAnswer, 0),
    ):  # fmt: skip
        assert await model.objects.acount() == count, model  # type: ignore[attr-defined]
    sign_ins = [row.get_decoded() async for row in Session.objects.all()]
    assert str(users["owner"].id) not in {row.get("_auth_user_id") for row in sign_ins}
    assert (await clients["stranger"].get(f"messages/{kept['message']['id']}")).status_code == 200
    again = await server.client().post("/api/v1/auth/token", json={"username": "owner", "password": PASSWORD})
    assert again.status_code == 401


async def test_only_who_knows_the_password_ends_an_account_and_staff_do_not(
    users: dict[str, User], clients: dict[str, httpx.AsyncClient], owner: httpx.AsyncClient
) -> None:
    for body, status, code in (
        ({"password": "wrong"}, 403, "FORBIDDEN"),
        ({}, 422, "INVALID_REQUEST"),
        ({"password": None, "confirm": "owner"}, 422, "INVALID_REQUEST"),
        ({"password": 5}, 422, "INVALID_REQUEST"),
        ({"password": "x" * 5000}, 413, "TOO_LARGE"),
    ):
        refused = await farewell(owner, **body)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (status, code), body
    refused = await farewell(clients["staff"], **FAREWELL)
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    assert (await farewell(clients["stranger"], **FAREWELL)).status_code == 204
    assert await User.objects.acount() == 2
    assert (await owner.get("me")).status_code == 200


@pytest.mark.parametrize("limits", [{"CHAT_LOGIN_RATE": "2/m"}])
async def test_passwords_are_not_guessed_this_way(users: dict[str, User], server: Server) -> None:
    session = Client()
    await sync_to_async(session.force_login)(users["owner"])
    client = server.client()
    client.cookies.update({name: morsel.value for name, morsel in session.cookies.items()})
    client.base_url = httpx.URL(f"{server.url}/api/v1/")
    client.cookies["csrftoken"] = "x" * 32
    client.headers["X-CSRFToken"] = "x" * 32
    statuses = [(await farewell(client, password=f"guess {number}")).status_code for number in range(4)]
    assert statuses == [403, 403, 429, 429]


async def test_an_account_without_a_password_is_ended_by_its_name(users: dict[str, User], server: Server) -> None:
    account = users["owner"]
    await sync_to_async(account.set_unusable_password)()
    await account.asave()
    session = Client()
    await sync_to_async(session.force_login)(account)
    client = server.client()
    client.cookies.update({name: morsel.value for name, morsel in session.cookies.items()})
    client.base_url = httpx.URL(f"{server.url}/api/v1/")
    client.cookies["csrftoken"] = "x" * 32
    client.headers["X-CSRFToken"] = "x" * 32
    assert (await farewell(client, password="")).status_code == 422
    assert (await farewell(client, confirm="stranger")).status_code == 422
    assert (await farewell(client, confirm="owner")).status_code == 204
    assert await User.objects.filter(username="owner").acount() == 0


async def test_a_key_may_look_but_neither_end_nor_take_out_nor_change_an_account(
    server: Server, users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    made = await owner.post("api-keys", json={"name": "k"})
    key = server.client({"Authorization": f"Bearer {made.json()['key']}"})
    key.base_url = httpx.URL(f"{server.url}/api/v1/")
    assert (await key.get("me")).status_code == 200
    assert (await key.get("search", params={"q": "x"})).status_code == 200
    assert (await key.post("conversations", json={})).status_code == 201
    for method, path, body in (("DELETE", "me", FAREWELL), ("GET", "me/export", None), ("PATCH", "me", {})):
        assert (await key.request(method, path, json=body)).status_code == 403, (method, path)
    assert await User.objects.acount() == 3


# Over real servers: streams that are open end, and a large export leaves as it is read


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> Iterator[ChatServer]:
    server = ChatServer(tmp_path_factory.mktemp("account"), {"CHAT_STALL_SECONDS": "1"}, request.param)
    server.prepare(prepared_database)
    asyncio.run(server.start())
    yield server
    server.close()


async def test_a_deletion_ends_open_streams_and_an_export_comes_in_pieces(process: ChatServer) -> None:
    owner, stranger = await process.client("owner"), await process.client("stranger")
    async with owner, stranger:
        line = [
            {"id": str(number), "parent": str(number - 1) if number else None, "role": "user", "text": "汉字 " * 50_000}
            for number in range(5)
        ]
        body = {"format": "chat.export", "version": 1, "conversation": {"title": "long"}, "messages": line}
        assert (await owner.post("/conversations/import", json=body)).status_code == 201
        head = await owner.head("/me/export")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Disposition"] == 'attachment; filename="chat-account.json"'
        assert {"etag", "content-length"}.isdisjoint(head.headers)
        async with owner.stream("GET", "/me/export") as export:
            pieces = [piece async for piece in export.aiter_raw()]
        assert len(pieces) > 5
        assert b"".join(pieces).count("汉字".encode()) == 250_000
        async with (
            stranger.stream("POST", "/chat", json={"message": "a long story"}) as other,
            owner.stream("POST", "/chat", json={"message": "a long story"}) as mine,
        ):
            theirs, ours = other.aiter_lines(), mine.aiter_lines()
            await anext(theirs)
            await anext(ours)
            assert (await owner.request("DELETE", "/me", json=FAREWELL)).status_code == 204
            await _rest(ours)
            assert (await owner.get("/me")).status_code == 401
            stopped = await stranger.post(f"/generations/{other.headers['X-Generation-Id']}/stop")
            assert stopped.json()["finish_reason"] == "cancelled", "it had gone on"
            assert '"isFinal":true' in await _rest(theirs)


@pytest.mark.parametrize("path", ["/me/export", "/conversations/{id}/export", "/conversations/{id}/messages"])
async def test_who_takes_nothing_of_a_large_answer_is_dropped(process: ChatServer, path: str) -> None:
    async with await process.client("stranger") as client:
        line = [{"id": str(number), "parent": None, "role": "user", "text": "x" * 2_000_000} for number in range(4)]
        body = {"format": "chat.export", "version": 1, "conversation": {}, "messages": line}
        taken = await client.post("/conversations/import", json=body)
        conversation = taken.json()["items"][0]["id"]
        path = "/api/v1" + path.format(id=conversation)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", process.port))
            authorization = client.headers["Authorization"]
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\r\n"
            connection.sendall(head.encode())
            hung_up = select.poll()
            hung_up.register(connection, 0)  # a reset is told of in any case
            assert await asyncio.to_thread(hung_up.poll, 20_000), "still connected"
        assert (await client.delete(f"/conversations/{conversation}")).status_code == 204


async def _rest(lines: AsyncIterator[str]) -> str:
    return "\n".join([line async for line in lines])
