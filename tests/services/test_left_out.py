"""A conversation that is longer than CHAT_CONTEXT_CHARS: what is sent of it, and what its owner is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from pytest_django import Settings

from chat.models import Generation, User
from chat.services import recorded_params
from tests.conftest import Server

JSON = {"Accept": "application/json"}
REPLY = "t000001 t000002 t000003 "


@pytest.fixture
def short(settings: Settings) -> None:
    """Room for one question and its answer, and the next question."""
    settings.CHAT_CONTEXT_CHARS = len(REPLY) + 2 * len("question 1")


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


async def test_the_messages_that_were_not_sent_are_told(
    short: None, owner: User, server: Server, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    client = server.client(await bearer(owner))
    conversation, notes = None, []
    for number in range(1, 5):
        body = {"message": f"question {number}", "conversation": conversation}
        reply = (await client.post("/api/v1/chat", json=body, headers=JSON)).json()
        conversation = reply["conversation"]
        assert reply["message"]["text"] == REPLY
        notes.append(reply["generation"]["notes"])
    assert notes == [[], [], *([{"note": "trimmed", "details": {"left_out": number}}] for number in (2, 4))]


async def test_a_reply_keeps_which_system_prompt_it_was_under(
    owner: User, server: Server, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    client = server.client({**await bearer(owner), **JSON})
    conversation = None
    for system in ("Be brief.", None, "Be long."):
        params = {"temperature": 0.5} | ({} if system is None else {"system": system})
        body = {"message": "How are you?", "conversation": conversation, "params": params}
        conversation = (await client.post("/api/v1/chat", json=body)).json()["conversation"]
    rows = [row.params async for row in Generation.objects.order_by("id")]
    kept = [recorded_params.digest_of(system) for system in ("Be brief.", "Be brief.", "Be long.")]
    assert [(row["temperature"], recorded_params.system_of(row)) for row in rows] == [(0.5, one) for one in kept]
