"""Where a message is put, and under which system prompt, when its client keeps the history itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from chat.models import Generation, Message, User
from chat.services import recorded_params
from chat.services.histories import SIBLINGS
from tests.conftest import Server

MODEL = "tokens-3-0"
REPLY = "t000001 t000002 t000003 "

Bearer = Callable[[User], Awaitable[dict[str, str]]]


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


async def test_the_same_question_over_and_over_does_not_fill_one_conversation(
    owner: User, server: Server, bearer: Bearer
) -> None:
    """Each message tells its siblings, and each send reads its conversation: both grow with it."""
    client = server.client(await bearer(owner))
    examples = [{"role": "user", "content": "good"}, {"role": "assistant", "content": "positive"}]
    for history, questions in (
        ([], ["ping"] * (SIBLINGS + 1)),
        (examples, [f"text {number}" for number in range(SIBLINGS + 1)]),
    ):
        conversations = [
            (await _complete(client, *history, {"role": "user", "content": question})) for question in questions
        ]
        assert len(set(conversations[:SIBLINGS])) == 1
        assert conversations[-1] != conversations[0]
        last = await _complete(client, *history, {"role": "user", "content": questions[-1]})
        assert last == conversations[-1], "the new one goes on"


async def test_instructions_are_for_their_response_alone_and_what_the_developer_says_stays(
    owner: User, server: Server, bearer: Bearer
) -> None:
    client = server.client(await bearer(owner))
    rule = {"role": "developer", "content": "Never lie."}
    asked: list[dict[str, Any]] = [
        {"input": [rule, {"role": "user", "content": "one"}], "instructions": "Be brief."},
        {"input": "two"},
        {"input": "three"},
        {"input": "four", "instructions": "Be long."},
        {"input": [{"role": "developer", "content": "Rhyme."}, {"role": "user", "content": "five"}]},
        {"input": "six", "store": False},
    ]
    previous = None
    for body in asked:
        answer = await client.post("/v1/responses", json={"model": MODEL, "previous_response_id": previous, **body})
        assert answer.status_code == 200, answer.text
        assert answer.json()["instructions"] == body.get("instructions")
        previous = answer.json()["id"]
    under = [
        *("Be brief.\n\nNever lie.", "Never lie.", "Never lie.", "Be long.\n\nNever lie."),
        *("Never lie.\n\nRhyme.", "Never lie.\n\nRhyme."),
    ]
    assert await _systems() == [recorded_params.digest_of(system) for system in under]


async def test_a_response_that_continues_a_reply_of_another_format_is_under_its_conversations_prompt(
    owner: User, server: Server, bearer: Bearer
) -> None:
    client = server.client(await bearer(owner))
    sent = {"message": "one", "params": {"system": "Be kind."}}
    reply = (await client.post("/api/v1/chat", json=sent, headers={"Accept": "application/json"})).json()
    previous = "resp_" + reply["generation"]["id"]
    for question in ("two", "three"):
        body = {"model": MODEL, "input": question, "previous_response_id": previous}
        previous = (await client.post("/v1/responses", json=body)).json()["id"]
    assert await _systems() == [recorded_params.digest_of("Be kind.")] * 3


async def test_a_changed_question_is_asked_under_the_prompt_that_its_request_has(
    owner: User, server: Server, bearer: Bearer
) -> None:
    client = server.client(await bearer(owner))
    for text, system in (("first", "Be brief."), ("other words", "Be long.")):
        question = {"id": "q", "role": "user", "parts": [{"type": "text", "text": text}]}
        rule = {"id": "s", "role": "system", "parts": [{"type": "text", "text": system}]}
        body = {"id": "changed", "model": MODEL, "messageId": "q", "messages": [rule, question]}
        assert (await client.post("/api/v1/ui/chat", json=body)).status_code == 200
    assert await _systems() == [recorded_params.digest_of(system) for system in ("Be brief.", "Be long.")]
    parents = {message.text: message.parent_id async for message in Message.objects.filter(role="user")}
    assert parents == {"first": None, "other words": None}, "the one stands in the place of the other"


async def _systems() -> list[str]:
    """Digests, of all replies in the order in which they were asked for."""
    return [recorded_params.system_of(row.params) async for row in Generation.objects.order_by("id")]


async def _complete(client: httpx.AsyncClient, *messages: dict[str, str]) -> str:
    """The conversation in which it was answered."""
    answer = await client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages})
    assert answer.json()["choices"][0]["message"]["content"] == REPLY
    conversation: str = answer.headers["X-Conversation-Id"]
    return conversation
