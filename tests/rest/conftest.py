"""The cast: `owner`, `stranger` (signed in too) and `staff`, who reviews in the admin alone; each with a client."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from chat.models import Conversation, Message, User
from tests.conftest import Server

Json = dict[str, Any]
Said = str | tuple[str, dict[str, Any]]

OTHERS = ("stranger", "staff")


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    names = {"owner": False, "stranger": False, "staff": True}
    return {name: make_user(name, is_staff=powerful, is_superuser=powerful) for name, powerful in names.items()}


@pytest.fixture
async def clients(
    server: Server, users: dict[str, User], bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> dict[str, httpx.AsyncClient]:
    clients = {name: server.client(await bearer(user)) for name, user in users.items()}
    for client in clients.values():
        client.base_url = httpx.URL(f"{server.url}/api/v1/")
    return clients


@pytest.fixture
def owner(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["owner"]


async def say(client: httpx.AsyncClient, message: str, **fields: Any) -> dict[str, Any]:
    """The finished reply."""
    body = {"message": message, "model": "tokens-3-0", **fields}
    answer = await client.post("chat", json=body, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def stored(user: User, title: str, *texts: str, **fields: Any) -> Conversation:
    """A conversation whose messages are one behind the other, question and answer in turn."""
    now = datetime.now(UTC)
    conversation = await Conversation.objects.acreate(
        user=user, title=title, message_count=len(texts), created_at=now, updated_at=now, **fields
    )
    parent: uuid.UUID | None = None
    for number, text in enumerate(texts):
        message = await Message.objects.acreate(
            conversation=conversation,
            parent_id=parent,
            role=("user", "assistant")[number % 2],
            text=text,
            created_at=now,
        )
        parent = message.id
    return conversation


async def imported(client: httpx.AsyncClient, document: Any, **headers: str) -> Json:
    answer = await client.post("conversations/import", json=document, headers=headers)
    assert answer.status_code == 201, answer.text
    taken: Json = answer.json()
    return taken
