"""What a field may hold is what the schema says, no more and no less: also where a wrong value would do no harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from chat.models import User
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

MODEL = "tokens-3-0"
QUESTION = {"role": "user", "content": "What is tea?"}
UI_QUESTION = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "What is tea?"}]}
LONG_KEY = {"Idempotency-Key": "k" * 256}
RESPOND_ASYNC = {"Prefer": "respond-async"}


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [QUESTION], **fields}


def run(**fields: Any) -> dict[str, Any]:
    return {"threadId": "t", "runId": "r", "messages": [QUESTION], **fields}


def chatgpt(**message: Any) -> list[dict[str, Any]]:
    return [{"mapping": {"1": {"message": {"author": {"role": "user"}, **message}}}}]


def export(**message: Any) -> dict[str, Any]:
    messages = [{"id": "1", "role": "user", "text": "What is tea?", **message}]
    return {"format": "chat.export", "version": 1, "conversation": {}, "messages": messages}


REFUSED: list[tuple[str, Any, int]] = [
    ("/api/v1/chat", {"message": "Tea?", "images": {}}, 422),
    ("/api/v1/chat", {"message": "Tea?", "images": 0}, 422),
    ("/api/v1/chat", {"message": "Tea?", "params": {"max_tokens": 5.5}}, 422),
    ("/api/v1/chat", {"message": "Tea?", "params": {"max_tokens": True}}, 422),
    ("/api/v1/messages/{answer}/regenerate", {"key": 0}, 422),
    ("/api/v1/messages/{answer}/continue", {"key": ""}, 422),
    ("/api/v1/messages/{answer}/feedback", {"value": True}, 422),
    ("/api/v1/auth/revoke", [None], 400),
    ("/api/v1/auth/revoke", {"refresh": 0}, 422),
    ("/api/v1/auth/sign-out-everywhere", [True], 400),
    ("/api/v1/auth/sign-out-everywhere", {"api_keys": 1}, 422),
    ("/api/v1/api-keys", {"name": "k", "expires_at": 4102444800}, 422),
    ("/api/v1/api-keys", {"name": "k", "expires_at": "4102444800"}, 422),
    ("/api/v1/ag-ui", run(messages=[{**QUESTION, "id": 5}]), 422),
    ("/api/v1/ag-ui", run(messages=[{"content": "?"}, QUESTION]), 422),
    ("/api/v1/ui/chat", {"id": "c", "messages": [UI_QUESTION], "messageId": {}}, 422),
    ("/api/v1/conversations/import", chatgpt(content=0), 422),
    ("/api/v1/conversations/import", chatgpt(content={"parts": [""]}, create_time="noon"), 422),
    ("/api/v1/conversations/import", export(feedback={"value": 2}), 422),
    ("/v1/chat/completions", completion(n=True), 400),
    ("/v1/chat/completions", completion(logprobs=0), 400),
    ("/v1/chat/completions", completion(max_completion_tokens=9, max_tokens="many"), 400),
    ("/v1/chat/completions", completion(messages=[{**QUESTION, "tool_calls": {}}]), 400),
    (
        "/v1/chat/completions",
        completion(messages=[{"role": "assistant", "content": "Yes.", "refusal": 5}, QUESTION]),
        400,
    ),
    ("/v1/responses", {"model": MODEL, "input": "Tea?", "include": "all"}, 400),
    ("/v1/responses", {"model": MODEL, "input": "Tea?", "tools": {}}, 400),
    ("/v1/responses", {"model": MODEL, "input": [{**QUESTION, "type": ""}]}, 400),
]

TAKEN: list[tuple[str, Any, int]] = [
    ("/api/v1/chat", {"message": "Tea?", "images": [], "params": {"max_tokens": 5.0}}, 202),
    ("/api/v1/messages/{answer}/regenerate", {"provider": "", "model": ""}, 202),
    ("/api/v1/messages/{answer}/feedback", {"value": 1.0}, 200),
    ("/v1/chat/completions", completion(n=1.0, tools=[], max_tokens=5.0), 200),
    ("/v1/responses", {"model": MODEL, "input": "Tea?", "include": ["reasoning.encrypted_content"]}, 200),
]


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


@pytest.fixture
async def client(server: Server, owner: User, bearer: Callable[[User], Awaitable[dict[str, str]]]) -> httpx.AsyncClient:
    return server.client(await bearer(owner))


async def test_a_field_is_what_the_schema_says(client: httpx.AsyncClient) -> None:
    reply = (await client.post("/api/v1/chat", json={"message": "Tea?"}, headers={"Accept": "application/json"})).json()
    for path, body, status in REFUSED + TAKEN:
        answer = await client.post(path.format(answer=reply["message"]["id"]), json=body, headers=RESPOND_ASYNC)
        assert answer.status_code == status, (path, body, answer.text)


async def test_a_key_in_the_header_is_checked_also_where_the_body_has_one(client: httpx.AsyncClient) -> None:
    bodies = {
        "/api/v1/chat": {"message": "Tea?"},
        "/api/v1/ui/chat": {"id": "c", "messages": [UI_QUESTION]},
    }
    for path, body in bodies.items():
        answer = await client.post(path, json={**body, "key": "short"}, headers=LONG_KEY)
        assert answer.status_code == 413, answer.text


async def test_what_a_query_asks_for_is_checked_also_where_it_changes_nothing(client: httpx.AsyncClient) -> None:
    reply = (await client.post("/api/v1/chat", json={"message": "Tea?"}, headers=RESPOND_ASYNC)).json()
    events = f"/api/v1/generations/{reply['generation']}/events"
    answer = await client.get(events, params={"after": "first"}, headers={"Last-Event-ID": "999"})
    assert answer.status_code == 422
    response = (await client.post("/v1/responses", json={"model": MODEL, "input": "Tea?"})).json()
    answer = await client.get(f"/v1/responses/{response['id']}", params={"starting_after": "first"})
    assert answer.status_code == 400
