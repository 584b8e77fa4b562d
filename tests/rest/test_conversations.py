"""Lists, page by page; messages as a tree; and what their owner thinks of answers."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.models import (
    ApiKey,
    ClientThread,
    Conversation,
    Feedback,
    IdempotentAnswer,
    Message,
    SearchEntry,
    User,
    Webhook,
    WebhookDelivery,
)
from chat.services import message_deletion
from chat.services.conversations import _page
from tests.conftest import Server
from tests.rest.conftest import OTHERS, say, stored

pytestmark = pytest.mark.django_db(transaction=True)


async def pages(client: httpx.AsyncClient, path: str, limit: int, **query: Any) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        params = {**query, "limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = await client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        cursor = answer.json()["next"]
        if cursor is None:
            return found


async def test_pages_of_conversations_bring_each_once_newest_first(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    made = [str((await stored(users["owner"], str(number), "text")).id) for number in range(7)]
    await stored(users["owner"], "its client keeps it", stored=False)
    found = await pages(owner, "conversations", 3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [item["id"] for page in found for item in page] == made[::-1]
    for cursor in ("x", "!", "é", _cursor("2026-01-01T00:00:00"), _cursor("0001-01-01T00:00:00+23:59"), _cursor("")):
        answer = await owner.get("conversations", params={"cursor": cursor})
        assert answer.status_code in (200, 400), cursor
    for limit in (0, 201, "x", "9" * 5000):
        assert (await owner.get("conversations", params={"limit": limit})).status_code == 422


def _cursor(moment: str) -> str:
    return urlsafe_b64encode(f"{moment}|00000000-0000-7000-8000-000000000000".encode()).decode()


async def test_a_list_can_be_of_the_pinned_or_without_the_archived(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    await stored(users["owner"], "pinned", pinned=True)
    await stored(users["owner"], "archived", archived=True)
    await stored(users["owner"], "both", pinned=True, archived=True)

    async def titles(**query: bool) -> set[str]:
        return {item["title"] for page in await pages(owner, "conversations", 1, **query) for item in page}

    assert await titles(pinned=True) == {"pinned", "both"}
    assert await titles(archived=False) == {"pinned"}
    assert await titles(archived=True, pinned=False) == {"archived"}
    assert (await owner.get("conversations", params={"pinned": "maybe"})).status_code == 422


async def test_a_list_of_conversations_reads_no_messages(users: dict[str, User], server: Server) -> None:
    await stored(users["owner"], "title", "question", "answer")

    def statements() -> str:
        with CaptureQueriesContext(connections["default"]) as queries:
            page = _page(users["owner"].id, None, 50, {})
        assert len(page.items) == 1
        return " ".join(query["sql"] for query in queries)

    assert "chat_message" not in await sync_to_async(statements)()


async def test_messages_are_a_tree_page_by_page_and_one_by_one(owner: httpx.AsyncClient) -> None:
    first = await say(owner, "one")
    conversation, question = first["conversation"], first["user_message"]["id"]
    json = {"Accept": "application/json"}
    again = (await owner.post(f"messages/{first['message']['id']}/regenerate", headers=json)).json()["message"]
    edited = (await owner.post(f"messages/{question}/edit", json={"message": "two"}, headers=json)).json()
    found = await pages(owner, f"conversations/{conversation}/messages", 2)
    messages = [item for page in found for item in page]
    assert [len(page) for page in found] == [2, 2, 1]
    parents = {item["id"]: item["parent"] for item in messages}
    assert parents == {
        question: None,
        first["message"]["id"]: question,
        again["id"]: question,
        edited["user_message"]["id"]: None,
        edited["message"]["id"]: edited["user_message"]["id"],
    }
    assert messages[1]["siblings"] == messages[2]["siblings"] == [first["message"]["id"], again["id"]]
    for item in messages:
        assert (await owner.get(f"messages/{item['id']}")).json() == item


async def test_an_answer_is_judged_anew_and_the_judgement_taken_back(
    owner: httpx.AsyncClient, clients: dict[str, httpx.AsyncClient]
) -> None:
    said = await say(owner, "a question")
    message, path = said["message"]["id"], f"messages/{said['message']['id']}/feedback"
    assert said["message"]["feedback"] is None
    for value, comment in ((1, "thank you"), (-1, None), (-1, "no\nreally"), (0, "gone"), (0, None), (1, "")):
        judged = await owner.post(path, json={"value": value, "comment": comment})
        assert judged.status_code == 200
        assert judged.json()["feedback"] == (value or None)
        assert judged.json() == (await owner.get(f"messages/{message}")).json()
        rows = [row async for row in Feedback.objects.values_list("value", "comment")]
        assert rows == ([(value, comment or "")] if value else [])
    listed = (await owner.get(f"conversations/{said['conversation']}/messages")).json()["items"]
    assert [item["feedback"] for item in listed] == [None, 1]
    question = await owner.post(f"messages/{said['user_message']['id']}/feedback", json={"value": 1})
    assert (question.status_code, question.json()["code"]) == (409, "CONFLICT")
    wrong: list[tuple[Any, int]] = [
        ({}, 422), ({"value": 2}, 422), ({"value": True}, 422), ({"value": "1"}, 422), ({"value": 1.5}, 422),
        ({"value": 1, "comment": 5}, 422), ({"value": 1, "comment": "a\x00"}, 422),
        ({"value": 1, "comment": "x" * 2001}, 413), ([], 400),
    ]  # fmt: skip
    for body, status in wrong:
        assert (await owner.post(path, json=body)).status_code == status, body
    for who in OTHERS:
        refused = await clients[who].post(path, json={"value": -1})
        assert (refused.status_code, refused.json()["code"]) == (404, "NOT_FOUND")
        assert (await clients[who].get(f"messages/{message}")).status_code == 404
    assert (await owner.get(f"messages/{message}")).json()["feedback"] == 1


async def test_staff_see_in_the_review_what_was_thought_of_an_answer(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    said = await say(owner, "a question")
    message = said["message"]["id"]
    await owner.post(f"messages/{message}/feedback", json={"value": -1, "comment": "it was <wrong>"})
    review = Client()
    await sync_to_async(review.force_login)(users["staff"])
    shown = await sync_to_async(review.get)(f"/admin/chat/message/{message}/change/")
    assert "it was &lt;wrong&gt;" in shown.content.decode()
    judged = await sync_to_async(review.get)("/admin/chat/message/?feedback__value__exact=-1")
    assert message in judged.content.decode()
    others = await sync_to_async(review.get)("/admin/chat/message/?feedback__value__exact=1")
    assert message not in others.content.decode()


async def test_a_long_conversation_is_deleted_part_by_part_and_nobody_sees_the_rest(
    users: dict[str, User], owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_deletion, "BATCH_MESSAGES", 4)
    kept = await stored(users["owner"], "kept", "stays")
    gone = await stored(users["owner"], "gone", *["goes"] * 11)
    most, listed = 0, []
    delete = message_deletion.delete_some

    def counted(conversations: Any) -> bool:
        nonlocal most
        before = Message.objects.count()
        listed.append({item.id for item in Conversation.objects.filter(stored=True)})
        more = delete(conversations)
        most = max(most, before - Message.objects.count())
        return more

    monkeypatch.setattr(message_deletion, "delete_some", counted)
    assert (await owner.delete(f"conversations/{gone.id}")).status_code == 204
    assert (most, await Message.objects.acount()) == (4, 1)
    assert listed == [{kept.id, gone.id}, {kept.id}, {kept.id}]
    assert (await owner.delete(f"conversations/{gone.id}")).status_code == 404
    assert [item["id"] for item in (await owner.get("conversations")).json()["items"]] == [str(kept.id)]


# While a new version is rolled out

OLDER_TABLES = ("chat_generation", "chat_message", "chat_conversation", "chat_user")
"""As a worker of the version before knows them, in the order in which it deletes their rows."""


async def test_a_worker_that_knows_no_newer_table_deletes_an_account_and_what_others_have_added_goes_too(
    users: dict[str, User], clients: dict[str, httpx.AsyncClient], owner: httpx.AsyncClient
) -> None:
    for client in (owner, clients["stranger"]):
        said = await say(client, "a question")
        await client.post(f"messages/{said['message']['id']}/feedback", json={"value": 1})
        await client.get("search", params={"q": "question"})
        await client.post("api-keys", json={"name": "k"})
        await client.post("conversations", json={}, headers={"Idempotency-Key": "k"})
    for name in ("owner", "stranger"):
        conversation = await stored(users[name], "t")
        await ClientThread.objects.acreate(user=users[name], format="ui", name="x", conversation=conversation)
        hook = await Webhook.objects.acreate(user=users[name], url="https://example.com/", secret="s")
        await WebhookDelivery.objects.acreate(webhook=hook, event="e", generation=hook.id, due_at=hook.created_at)
    newer = (ApiKey, ClientThread, Feedback, IdempotentAnswer, SearchEntry, Webhook, WebhookDelivery)
    before = [await model.objects.acount() for model in newer]  # type: ignore[attr-defined]
    await sync_to_async(_deleted_by_an_older_worker)(users["owner"])
    after = [await model.objects.acount() for model in newer]  # type: ignore[attr-defined]
    assert [2 * count for count in after] == before
    assert (await clients["stranger"].get("search", params={"q": "question"})).json()["items"]


def _deleted_by_an_older_worker(user: User) -> None:
    key = User._meta.pk.get_db_prep_value(user.id, connection)
    of_user = "SELECT id FROM chat_conversation WHERE user_id = %s"
    conditions = ("user_id = %s", f"conversation_id IN ({of_user})", "user_id = %s", "id = %s")
    with transaction.atomic(), connection.cursor() as cursor:
        for table, condition in zip(OLDER_TABLES, conditions, strict=True):
            cursor.execute(f"DELETE FROM {table} WHERE {condition}", [key])
