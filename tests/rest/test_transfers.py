"""Conversations as files: what goes out comes in again, what others wrote is read, what is wrong changes nothing."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import runtime
from chat.errors import RequestError
from chat.models import Conversation, Message, User
from chat.services import imports, message_deletion
from chat.services.chat_export import read_export
from chat.services.chatgpt_export import read_chatgpt
from chat.services.imported import parents_first
from chat.services.unstored import Unstored
from tests.conftest import Server
from tests.rest.conftest import OTHERS, Json, imported, say, stored

pytestmark = pytest.mark.django_db(transaction=True)


async def exported(client: httpx.AsyncClient, conversation: str) -> Json:
    answer = await client.get(f"conversations/{conversation}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    document: Json = answer.json()
    return document


def without_ids(document: Json) -> Json:
    """Ids by their places."""
    numbers = {message["id"]: number for number, message in enumerate(document["messages"])}
    return {
        **document,
        "conversation": {**document["conversation"], "id": None},
        "messages": [
            {**message, "id": None, "parent": None if message["parent"] is None else numbers[message["parent"]]}
            for message in document["messages"]
        ],
    }


def document(*messages: Json, **fields: Any) -> Json:
    at = {"created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-03T03:04:05.678Z"}
    return {
        "format": "chat.export",
        "version": 1,
        "conversation": {"title": "T", **at, **fields},
        "messages": [*messages],
    }


def said(id: str, parent: str | None, role: str = "user", text: str = "x", **fields: Any) -> Json:
    return {"id": id, "parent": parent, "role": role, "text": text, **fields}


async def test_a_conversation_goes_out_with_its_whole_tree_and_comes_in_again(owner: httpx.AsyncClient) -> None:
    first = await say(owner, "a question with 汉字 and a 🎉")
    again = await owner.post(f"messages/{first['message']['id']}/regenerate", headers={"Accept": "application/json"})
    await owner.post(f"messages/{again.json()['message']['id']}/feedback", json={"value": -1, "comment": "no"})
    await owner.patch(f"conversations/{first['conversation']}", json={"title": "标题", "system": "S", "pinned": True})
    out = await exported(owner, first["conversation"])
    assert (out["format"], out["version"]) == ("chat.export", 1)
    assert [message["role"] for message in out["messages"]] == ["user", "assistant", "assistant"]
    assert out["messages"][2]["feedback"] == {"value": -1, "comment": "no"}
    taken = await imported(owner, out)
    [conversation] = taken["items"]
    assert (conversation["title"], conversation["message_count"], conversation["running"]) == ("标题", 3, [])
    assert conversation["id"] != first["conversation"]
    assert without_ids(await exported(owner, conversation["id"])) == without_ids(out)
    messages = (await owner.get(f"conversations/{conversation['id']}/messages")).json()["items"]
    assert {(message["status"], message["generation"]) for message in messages} == {("completed", None)}
    assert len(messages[1]["siblings"]) == 2
    assert messages[2]["feedback"] == -1
    found = await owner.get("search", params={"q": "汉字"})
    assert {hit["conversation"] for hit in found.json()["items"]} == {first["conversation"], conversation["id"]}
    # It goes on as any other.
    more = await say(owner, "and now?", conversation=conversation["id"])
    assert more["user_message"]["parent"] in [message["id"] for message in messages]


TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
TIMES = st.integers(0, 1_767_000_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC).isoformat())


@st.composite
def trees(draw: st.DrawFn) -> Json:
    """Any tree, its messages in any order."""
    messages: list[Json] = []
    for number in range(draw(st.integers(0, 8))):
        parent = draw(st.none() | st.sampled_from(messages)) if messages else None
        role = draw(st.sampled_from(["user", "assistant"]))
        judged = st.fixed_dictionaries({"value": st.sampled_from([1, -1]), "comment": TEXTS})
        fields = {
            "text": draw(TEXTS),
            "reasoning": draw(TEXTS),
            "status": draw(st.sampled_from(["completed", "cancelled", "failed", "interrupted"])),
            "feedback": draw(st.none() | judged) if role == "assistant" else None,
            "created_at": draw(TIMES),
        }
        messages.append(said(f"m{number}", None if parent is None else parent["id"], role, **fields))
    switches = {"pinned": draw(st.booleans()), "archived": draw(st.booleans())}
    times = {"created_at": draw(TIMES), "updated_at": draw(TIMES)}
    return document(*draw(st.permutations(messages)), title=draw(TEXTS), system=draw(TEXTS), **switches, **times)


async def test_an_export_of_an_import_is_the_same_again(owner: httpx.AsyncClient) -> None:
    """The second import is of an export, the first of whatever there can be."""

    async def there_and_back(first: Json) -> None:
        [once] = (await imported(owner, first))["items"]
        out = await exported(owner, once["id"])
        [twice] = (await imported(owner, out))["items"]
        assert without_ids(await exported(owner, twice["id"])) == without_ids(out)
        by_text = {message["id"]: message for message in first["messages"]}
        assert sorted(message["text"] for message in out["messages"]) == sorted(m["text"] for m in by_text.values())

    samples: list[Json] = []

    @given(trees())
    @settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))
    def collect(tree: Json) -> None:
        samples.append(tree)

    await sync_to_async(collect)()
    assert any(len(tree["messages"]) > 3 for tree in samples)
    for tree in samples:
        await there_and_back(tree)


# What is wrong


WRONG: list[tuple[Any, int, str]] = [
    ({}, 422, "format"),
    ({"format": "chat.export", "version": 2}, 422, "version"),
    ({"format": "chat.export", "version": True}, 422, "version"),
    ({"format": "chat.export", "version": 1}, 422, "conversation"),
    ({"format": ["chat.export"], "version": 1}, 422, "format"),
    ({"format": "chat.account", "version": 1, "conversations": {}}, 422, "conversations"),
    ({"format": "chat.account", "version": 1, "conversations": [1]}, 422, "conversations[0]"),
    (document(title="x" * 201), 413, "conversation.title"),
    (document(title=5), 422, "conversation.title"),
    (document(pinned="yes"), 422, "conversation.pinned"),
    (document(created_at="yesterday"), 422, "conversation.created_at"),
    (document(created_at="2026-01-01T00:00:00"), 422, "conversation.created_at"),
    (document(created_at="0001-01-01T00:00:00+23:59"), 422, "conversation.created_at"),
    (document(created_at=10**30), 422, "conversation.created_at"),
    (document(created_at=-1), 422, "conversation.created_at"),
    (document(created_at=True), 422, "conversation.created_at"),
    (document("x"), 422, "messages[0]"),
    (document(said("a", "b"), said("b", "a")), 422, "messages"),
    (document(said("a", "a")), 422, "messages"),
    (document(said("a", "missing")), 422, "messages"),
    (document(said("a", None), said("a", None)), 422, "messages"),
    (document(said("a", None), said("b", "a", "system")), 422, "messages[1].role"),
    (document(said("a", None), {"id": "b", "role": ["user"]}), 422, "messages[1].role"),
    (document(said("a", None, text="nul \x00")), 422, "messages[0].text"),
    (document(said("", None)), 422, "messages[0].id"),
    (document(said("a" * 256, None)), 413, "messages[0].id"),
    (document(said("a", 7)), 422, "messages[0].parent"),  # type: ignore[arg-type]
    (document(said("a", None, "assistant", feedback={"value": 2})), 422, "messages[0].feedback.value"),
    (document(said("a", None, "assistant", feedback=[1])), 422, "messages[0].feedback"),
    ([1], 422, "[0]"),
    ([{"mapping": []}], 422, "[0].mapping"),
    ([{"mapping": {"a": None}}], 422, "[0].mapping.a"),
    ([{"mapping": {"a": {"parent": "b"}}}], 422, "[0].mapping.a.parent"),
    ([{"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}}], 422, "[0].mapping"),
    ([{"mapping": {"a": {"message": {"author": None}}}}], 422, "[0].mapping.a.message.author"),
    ([{"mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": "x"}}}}}], 422,
     "[0].mapping.a.message.content.parts"),
    ([{"mapping": {}, "create_time": "x"}], 422, "[0].create_time"),
]  # fmt: skip


async def test_what_is_wrong_is_named_and_nothing_of_it_is_taken_in(
    owner: httpx.AsyncClient, users: dict[str, User]
) -> None:
    good = {"conversation": document()["conversation"], "messages": [said("a", None)]}
    for body, status, field in WRONG:
        answer = await owner.post("conversations/import", json=body)
        assert (answer.status_code, answer.json()["details"].get("field")) == (status, field), body
        if isinstance(body, dict) and body.get("format") == "chat.export" and body.get("version") == 1:
            bad = {name: body[name] for name in ("conversation", "messages") if name in body}
            many = {"format": "chat.account", "version": 1, "conversations": [good, bad]}
            answer = await owner.post("conversations/import", json=many)
            assert answer.status_code == status, body
            assert answer.json()["details"]["field"].startswith("conversations[1]"), body
    for raw in (b"", b"{", b'"\\ud800"', b'{"a": 1e999}', b"[" * 100_000, b"null", b"5", b"\xff"):
        answer = await owner.post("conversations/import", content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), raw[:20]
    assert (await owner.post("conversations/import", content=b"[]")).status_code == 415
    assert await Conversation.objects.acount() == 0
    assert await Message.objects.acount() == 0


async def test_an_import_has_a_limit_of_messages(owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.current().imports, "_messages", 3)
    line = [said(str(number), str(number - 1) if number else None) for number in range(4)]
    refused = await owner.post("conversations/import", json=document(*line))
    assert (refused.status_code, refused.json()["details"]) == (413, {"limit": 3})
    assert len((await imported(owner, document(*line[:3])))["items"]) == 1


async def test_the_same_import_with_the_same_key_is_made_once(owner: httpx.AsyncClient) -> None:
    body = document(said("a", None))
    first = await imported(owner, body, **{"Idempotency-Key": "k1"})
    assert await imported(owner, body, **{"Idempotency-Key": "k1"}) == first
    created = [
        (await owner.post("conversations", json={"title": "one"}, headers={"Idempotency-Key": "k2"})).json()
        for _twice in range(2)
    ]
    assert created[0] == created[1]
    assert await Conversation.objects.acount() == 2


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["mapping", "message", "author", "role", "content", "parts", "parent", "a", "b", "id", "text",
                         "messages", "conversation", "create_time", "created_at", "current_node"]),
        inner, max_size=5),
    max_leaves=25,
))  # fmt: skip
def test_no_document_breaks_the_readers(value: Any) -> None:
    for read in (
        lambda: read_chatgpt([value], 100),
        lambda: read_chatgpt([{"mapping": value}], 100),
        lambda: read_export({"format": "chat.export", "version": 1, "conversation": {}, "messages": value}, 100),
        lambda: read_export({"format": "chat.account", "version": 1, "conversations": [value]}, 100),
    ):
        with contextlib.suppress(RequestError):
            read()


# Markdown, and the names of files


async def test_markdown_has_the_branch_in_order_and_keeps_its_code(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    code = "Look:\n\n```python\n# a comment\nprint('~~~')\n```\n\nDone."
    open_fence = "````text\n```\nstill open"
    conversation = await stored(users["owner"], "A  title\nin lines", "# not a title", code, "more", open_fence)
    answer = await owner.get(f"conversations/{conversation.id}/export", params={"format": "markdown"})
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.text == (
        f"# A title in lines\n\n## User\n\n# not a title\n\n## Assistant\n\n{code}\n\n"
        f"## User\n\nmore\n\n## Assistant\n\n{open_fence}\n````\n"
    )
    chinese = await owner.get(
        f"conversations/{conversation.id}/export?format=markdown", headers={"Accept-Language": "zh-hans"}
    )
    assert chinese.status_code == 200
    assert (await owner.get(f"conversations/{conversation.id}/export?format=pdf")).status_code == 422


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("plain", 'attachment; filename="plain.json"'),
        ("", 'attachment; filename="conversation.json"'),
        ("计划", "attachment; filename*=utf-8''%E8%AE%A1%E5%88%92.json"),
        ('../../etc/"passwd"\r\nSet-Cookie: a=b', 'attachment; filename="etc passwd Set-Cookie a=b.json"'),
        ("...", 'attachment; filename="conversation.json"'),
        ("x" * 200, f'attachment; filename="{"x" * 80}.json"'),
        ("\u202egnp.exe", 'attachment; filename="gnp.exe.json"'),
    ],
)
async def test_the_file_has_a_name_that_every_system_takes(
    users: dict[str, User], owner: httpx.AsyncClient, title: str, name: str
) -> None:
    conversation = await stored(users["owner"], title)
    answer = await owner.get(f"conversations/{conversation.id}/export")
    assert answer.headers["Content-Disposition"] == name


# Whose they are


@pytest.mark.parametrize("who", OTHERS)
async def test_an_import_of_somebody_elses_export_is_ones_own_and_touches_nothing_of_theirs(
    clients: dict[str, httpx.AsyncClient], users: dict[str, User], who: str
) -> None:
    mine = await stored(users["owner"], "mine", "secret")
    refused = await clients[who].get(f"conversations/{mine.id}/export")
    assert (refused.status_code, refused.json()["code"]) == (404, "NOT_FOUND")
    out = await exported(clients["owner"], str(mine.id))
    [taken] = (await imported(clients[who], out))["items"]
    assert (await clients["owner"].get(f"conversations/{taken['id']}")).status_code == 404
    assert without_ids(await exported(clients["owner"], str(mine.id))) == without_ids(out)


async def test_without_a_sign_in_nothing_comes_in(server: Server) -> None:
    answer = await server.client().post("/api/v1/conversations/import", json=document(said("a", None)))
    assert answer.status_code == 401


def test_the_order_of_a_file_stays_where_parents_are_first() -> None:
    tree = read_export(document(said("c", "b"), said("a", None), said("b", "a"), said("d", None)), None)[0]
    assert [message.key for message in tree.messages] == ["a", "b", "c", "d"]
    assert parents_first(tree.messages, "") == tree.messages


async def test_an_import_that_breaks_off_shows_nothing(
    owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database goes away in the middle: what was written stays hidden, and is deleted later."""
    monkeypatch.setattr(imports, "ROWS", 2)
    shows = imports._show
    line = [said(str(number), str(number - 1) if number else None) for number in range(5)]

    def breaks(conversations: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(imports, "_show", breaks)
    refused = await owner.post("conversations/import", json=document(*line))
    assert refused.status_code == 503
    assert (await owner.get("conversations")).json()["items"] == []
    assert (await owner.get("search", params={"q": "x"})).json()["items"] == []
    monkeypatch.setattr(message_deletion, "BATCH_MESSAGES", 2)
    await Unstored(runtime.current().database, 0.0).delete()
    assert (await Conversation.objects.acount(), await Message.objects.acount()) == (0, 0)
    monkeypatch.setattr(imports, "_show", shows)
    [taken] = (await imported(owner, document(*line)))["items"]
    assert len((await exported(owner, taken["id"]))["messages"]) == 5
    assert (await owner.get("conversations")).json()["items"] == [taken]
