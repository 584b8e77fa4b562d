"""What one may do how often: the refusals, what the headers say, and what uses nothing up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from pytest_django import Settings

from chat import runtime
from chat.models import Generation, User
from chatsite.asgi import application
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)

Bearer = Callable[[User], Awaitable[dict[str, str]]]
TOKEN = "/api/v1/auth/token"
CHAT = "/api/v1/chat"
AT_ONCE, A_MINUTE = "tokens-3-0", "tokens-3000-20"
LATER = {"Prefer": "respond-async"}


@pytest.fixture(autouse=True)
def further_limits(settings: Settings, limits: dict[str, object]) -> None:
    """Those that `server` leaves as they are."""
    for name, value in limits.items():
        setattr(settings, name, value)


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    return {name: make_user(name) for name in ("owner", "stranger")}


@pytest.fixture
async def owner(server: Server, users: dict[str, User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users["owner"]))


@pytest.fixture
async def stranger(server: Server, users: dict[str, User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users["stranger"]))


async def say(client: httpx.AsyncClient, model: str = AT_ONCE, **fields: Any) -> httpx.Response:
    return await client.post(CHAT, json={"message": "hello", "model": model, **fields}, headers=LATER)


def left(response: httpx.Response) -> tuple[str, str]:
    return response.headers["RateLimit-Limit"], response.headers["RateLimit-Remaining"]


def assert_refused(response: httpx.Response, seconds: int) -> None:
    assert response.status_code == 429, response.text
    body = response.json()
    assert body["code"] == "RATE_LIMITED"
    wait = int(response.headers["Retry-After"])
    assert body["details"] == {"retry_after": wait}
    assert 1 <= wait <= seconds


async def ended(client: httpx.AsyncClient, started: httpx.Response) -> dict[str, Any]:
    generation = started.headers["X-Generation-Id"]
    await runtime.current().engine.ended(generation)
    record: dict[str, Any] = (await client.get(f"/api/v1/generations/{generation}")).json()
    return record


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "3/m"}])
async def test_sends_are_counted_and_every_answer_says_what_is_left(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    answers = [
        await say(owner),
        await owner.post(CHAT, json={"message": "hello", "model": AT_ONCE}),
        await owner.post(CHAT, json={"message": "hello"}, headers={"Accept": "application/json"}),
    ]
    assert [answer.status_code for answer in answers] == [202, 200, 200]
    assert [left(answer) for answer in answers] == [("3", "2"), ("3", "1"), ("3", "0")]
    assert all(1 <= int(answer.headers["RateLimit-Reset"]) <= 60 for answer in answers)
    refused = await say(owner)
    assert_refused(refused, 60)
    assert left(refused) == ("3", "0")
    assert refused.headers["RateLimit-Reset"] == refused.headers["Retry-After"]
    assert left(await say(stranger)) == ("3", "2"), "a stranger's sends are his own"
    assert "RateLimit-Limit" not in (await owner.get("/api/v1/conversations")).headers


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "2/s"}])
async def test_who_waits_as_long_as_was_said_is_let_in(owner: httpx.AsyncClient) -> None:
    refused = await say(owner)
    while refused.status_code == 202:
        refused = await say(owner)
    assert_refused(refused, 1)
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    assert (await say(owner)).status_code == 202


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "3/m"}])
async def test_what_is_refused_for_another_reason_uses_nothing_up_but_a_flood_of_it_does(
    owner: httpx.AsyncClient,
) -> None:
    nowhere = {"conversation": "00000000-0000-7000-8000-000000000000"}
    assert [(await say(owner, **nowhere)).status_code for _ in range(3)] == [404] * 3
    unreadable = await say(owner, message="")
    assert unreadable.status_code == 422
    assert left(await say(owner)) == ("3", "2")
    statuses = [(await say(owner, **nowhere)).status_code for _ in range(4)]
    assert statuses == [404, 404, 429, 429]


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "2/m", "CHAT_STREAMS_PER_USER": 1}])
async def test_a_key_that_was_used_is_answered_whatever_the_limits_say(owner: httpx.AsyncClient) -> None:
    first = await say(owner, A_MINUTE, key="k")
    again = [await say(owner, A_MINUTE, key="k") for _ in range(5)]
    assert {one.headers["X-Generation-Id"] for one in again} == {first.headers["X-Generation-Id"]}
    assert [left(one) for one in again] == [("2", "1")] * 5
    assert (await say(owner, A_MINUTE, key="k", message="other words")).status_code == 409
    await owner.post(f"/api/v1/generations/{first.headers['X-Generation-Id']}/stop")
    assert (await say(owner)).status_code == 202
    assert (await say(owner)).status_code == 429
    assert (await say(owner, A_MINUTE, key="k")).status_code == 202


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "30/m", "CHAT_STREAMS_PER_USER": 8}])
async def test_a_key_sent_fifty_times_at_once_is_one_send(owner: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(say(owner, key="k") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["X-Generation-Id"] for answer in answers}) == 1
    assert left(await say(owner)) == ("30", "28")


async def test_a_key_sent_fifty_times_in_vain_costs_each_a_few_reads(
    owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, reads = runtime.current().database, []
    read = database.read

    async def counted(function: Any, *arguments: Any, **named: Any) -> Any:
        reads.append(function)
        return await read(function, *arguments, **named)

    monkeypatch.setattr(database, "read", counted)
    nowhere = {"conversation": "00000000-0000-7000-8000-000000000000", "key": "k"}
    answers = await asyncio.gather(*(say(owner, **nowhere) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {404}
    assert len(reads) <= 5 * len(answers)


async def test_repeated_keys_of_other_ways_to_a_reply_attach_too(owner: httpx.AsyncClient) -> None:
    said = (await owner.post(CHAT, json={"message": "hello"}, headers={"Accept": "application/json"})).json()
    question, answer = said["user_message"]["id"], said["message"]["id"]
    for number, (message, way, body) in enumerate(
        [(answer, "continue", {}), (answer, "regenerate", {"model": A_MINUTE}), (question, "edit", {"message": "so?"})]
    ):
        keyed = {**body, "key": f"k{number}"}
        path = f"/api/v1/messages/{message}/{way}"
        first, second = [await owner.post(path, json=keyed, headers=LATER) for _ in range(2)]
        assert (first.status_code, second.status_code) == (202, 202), second.text
        assert first.json() == second.json()
        assert (await owner.post(CHAT, json={"message": "other", "key": f"k{number}"})).status_code == 409
        await owner.post(f"/api/v1/generations/{first.json()['generation']}/stop")
    running = await owner.post(f"/api/v1/messages/{answer}/continue", json={"key": "live"}, headers=LATER)
    assert running.status_code == 202


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "20/m", "CHAT_STREAMS_PER_USER": 2}])
async def test_places_are_free_again_after_whatever_end(owner: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    running = await asyncio.gather(*(say(owner, A_MINUTE) for _ in range(5)))
    assert sorted(answer.status_code for answer in running) == [202, 202, 429, 429, 429]
    refused = await say(owner)
    assert_refused(refused, 5)
    assert left(refused) == ("20", "18"), "only what runs has used a send up"
    assert (await say(stranger, A_MINUTE)).status_code == 202
    for answer in running:
        if answer.status_code == 202:
            await owner.post(f"/api/v1/generations/{answer.headers['X-Generation-Id']}/stop")
    for _ in range(3):
        assert (await ended(owner, await say(owner)))["status"] == "completed"


@pytest.mark.parametrize("limits", [{"CHAT_ADDRESS_SEND_RATE": "2/m", "CHAT_SEND_RATE": "9/m"}])
async def test_sends_from_one_address_are_counted_together(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    assert left(await say(owner)) == ("2", "1"), "the tighter one is told"
    assert left(await say(stranger)) == ("2", "0")
    assert_refused(await say(owner), 60)


@pytest.mark.parametrize("limits", [{"CHAT_KEY_SEND_RATE": "1/m", "CHAT_SEND_RATE": "9/m"}])
async def test_sends_with_one_api_key_are_counted_together_and_for_its_user(
    server: Server, owner: httpx.AsyncClient
) -> None:
    made = await owner.post("/api/v1/api-keys", json={"name": "a program", "scopes": ["chat"]})
    assert made.status_code == 201, made.text
    program = server.client({"Authorization": f"Bearer {made.json()['key']}"})
    assert left(await say(program)) == ("1", "0")
    assert_refused(await say(program), 60)
    assert left(await say(owner)) == ("9", "7")


@pytest.mark.parametrize("limits", [{"CHAT_SEND_RATE": "1/m"}, {"CHAT_ADDRESS_SEND_RATE": "1/m"}])
async def test_a_socket_is_told_how_long_to_wait(
    owner: httpx.AsyncClient, users: dict[str, User], bearer: Bearer
) -> None:
    token = (await bearer(users["owner"]))["Authorization"].encode()
    socket = WebsocketCommunicator(application, "/ws/chat/", headers=[(b"authorization", token)])
    socket.scope["client"] = ("127.0.0.1", 1)
    assert (await socket.connect())[0]
    await say(owner)
    await socket.send_to(text_data=json.dumps({"type": "send", "ref": 1, "message": "hello", "model": AT_ONCE}))
    frame: dict[str, Any] = {}
    while frame.get("type") != "refused":
        frame = json.loads(await socket.receive_from())
    assert (frame["ref"], frame["code"], list(frame["details"])) == (1, "RATE_LIMITED", ["retry_after"])
    assert 1 <= frame["details"]["retry_after"] <= 60
    await socket.disconnect()


# Tokens of a day


@pytest.mark.parametrize("limits", [{"CHAT_TOKENS_PER_DAY": 4, "CHAT_SEND_RATE": "30/m"}])
async def test_the_tokens_of_a_day_are_spent_by_replies_and_stay_so(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient, users: dict[str, User]
) -> None:
    first = await say(owner)
    usage = (await ended(owner, first))["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] >= 4
    refused = await say(owner)
    assert_refused(refused, 24 * 3600)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert abs(int(refused.headers["Retry-After"]) - (midnight - datetime.now(UTC)).total_seconds()) < 60
    assert left(refused) == ("4", "0")
    assert (await say(stranger)).status_code == 202
    assert (await owner.delete(f"/api/v1/conversations/{first.headers['X-Conversation-Id']}")).status_code == 204
    assert (await say(owner)).status_code == 429, "what was deleted has been spent all the same"


@pytest.mark.parametrize("limits", [{"CHAT_TOKENS_PER_DAY": 4}])
async def test_a_restart_forgets_no_tokens_and_another_day_does(
    owner: httpx.AsyncClient, users: dict[str, User]
) -> None:
    await ended(owner, await say(owner))
    await runtime.current().close()
    runtime.forget()
    await runtime.current().start()
    assert (await say(owner)).status_code == 429
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await Generation.objects.filter(user=users["owner"]).aupdate(created_at=yesterday, finished_at=yesterday)
    await runtime.current().close()
    runtime.forget()
    await runtime.current().start()
    assert (await say(owner)).status_code == 202


# Sign-ins


async def sign_in(client: httpx.AsyncClient, name: str, password: str, address: str) -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return await client.post(TOKEN, json={"username": name, "password": password}, headers=headers)


@pytest.mark.parametrize("limits", [{"CHAT_LOGIN_RATE": "9/m", "CHAT_ACCOUNT_LOGIN_RATE": "2/h"}])
async def test_one_account_cannot_be_guessed_from_many_addresses(
    server: Server, users: dict[str, User], settings: Settings
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    client = server.client()
    right = [(await sign_in(client, "owner", PASSWORD, "203.0.113.1")).status_code for _ in range(4)]
    assert right == [200] * 4, "who knows the password is not counted"
    wrong = [await sign_in(client, name, "wrong", f"203.0.113.{n}") for n, name in enumerate(["owner", " OWNER "], 2)]
    assert [answer.status_code for answer in wrong] == [401, 401]
    assert left(wrong[0]) == ("9", "8"), "of the address, not of the account"
    assert_refused(await sign_in(client, "owner", PASSWORD, "203.0.113.9"), 3600)
    assert (await sign_in(client, "stranger", PASSWORD, "203.0.113.9")).status_code == 200
