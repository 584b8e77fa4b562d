"""API keys: made once, shown once, and good for what their scopes say.

The cast: `owner`, whose keys they are; `stranger` and `staff`, who try to see, use or delete them.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from pytest_django import Settings

from chat import runtime
from chat.api.router import api
from chat.dialects.openai_api import openai
from chat.models import ApiKey, User
from chat.services.key_sign_in import is_key
from tests.conftest import Server
from tests.test_access import close_code, frame, socket

pytestmark = pytest.mark.django_db(transaction=True)

KEYS, ME, CONVERSATIONS = "/api/v1/api-keys", "/api/v1/me", "/api/v1/conversations"
FOR_PEOPLE = {"api-keys", "auth", "me", "webhooks"}
"""Under /api/v1; no key's, but for looking at whose it is."""

Bearer = Callable[[User], Awaitable[dict[str, str]]]


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    names = {"owner": False, "stranger": False, "staff": True}
    return {name: make_user(name, is_staff=powerful, is_superuser=powerful) for name, powerful in names.items()}


@pytest.fixture
async def owner(server: Server, users: dict[str, User], bearer: Bearer) -> httpx.AsyncClient:
    return server.client(await bearer(users["owner"]))


async def made(owner: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await owner.post(KEYS, json={"name": "bot", **fields})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def by(key: dict[str, Any] | str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key['key']}"}


# Made, listed, deleted


async def test_a_key_is_shown_once_stored_hashed_and_known_by_its_prefix(
    server: Server, owner: httpx.AsyncClient, users: dict[str, User]
) -> None:
    first = await made(owner, name=" night job ")
    assert set(first) == {"id", "name", "key", "prefix", "scopes", "created_at", "last_used_at", "expires_at"}
    assert is_key(first["key"])
    assert first["key"].startswith(first["prefix"])
    assert len(first["key"]) - len(first["prefix"]) > 30
    assert (first["name"], first["scopes"], first["expires_at"]) == ("night job", ["chat", "read"], None)
    second = await made(owner)
    listed = (await owner.get(KEYS)).json()
    shown = [{name: value for name, value in key.items() if name != "key"} for key in (second, first)]
    assert listed == {"items": shown, "next": None}
    row = await ApiKey.objects.aget(pk=first["id"])
    assert all(first["key"] not in str(value) for value in vars(row).values())
    page = (await owner.get(KEYS, params={"limit": 1})).json()
    assert page["items"] == shown[:1]
    assert (await owner.get(KEYS, params={"limit": 1, "cursor": page["next"]})).json() == {
        "items": shown[1:],
        "next": None,
    }
    for wrong in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "x"}):
        assert (await owner.get(KEYS, params=wrong)).json()["code"] == "INVALID_REQUEST"


async def test_a_key_is_its_owner_on_every_way_in(server: Server, owner: httpx.AsyncClient) -> None:
    key = await made(owner)
    program = server.client(by(key))
    assert (await program.get(ME)).json()["username"] == "owner"
    assert (await program.get("/v1/models")).status_code == 200
    said = await program.post(
        "/api/v1/chat", json={"message": "hi", "model": "tokens-3-0"}, headers={"Accept": "application/json"}
    )
    assert said.status_code == 200, said.text
    assert (await owner.get(CONVERSATIONS)).json()["items"][0]["id"] == said.json()["conversation"]
    for headers, subprotocols in ((by(key), []), ({}, ["chat.v1", f"bearer.{key['key']}"])):
        communicator = socket(headers)
        communicator.scope["subprotocols"] = subprotocols
        await communicator.connect(timeout=10)
        await communicator.send_json_to({"type": "ping"})
        assert (await frame(communicator, "pong"))["type"] == "pong"
        await communicator.disconnect()


async def test_its_use_is_noted_once_a_minute(server: Server, owner: httpx.AsyncClient) -> None:
    key = await made(owner)
    program = server.client(by(key))

    async def used() -> datetime | None:
        await program.get(ME)
        await runtime.current()._tasks.aclose()
        return (await ApiKey.objects.aget(pk=key["id"])).last_used_at

    first = await used()
    assert first is not None
    assert await used() == first
    await ApiKey.objects.aupdate(last_used_at=timezone.now() - timedelta(seconds=61))
    again = await used()
    assert again is not None
    assert again > first
    assert (await owner.get(KEYS)).json()["items"][0]["last_used_at"] is not None


@pytest.mark.parametrize("who", ["stranger", "staff"])
async def test_nobody_else_sees_or_deletes_it(
    server: Server, users: dict[str, User], owner: httpx.AsyncClient, bearer: Bearer, who: str
) -> None:
    key = await made(owner)
    other = server.client(await bearer(users[who]))
    assert (await other.get(KEYS)).json()["items"] == []
    absent = await other.delete(f"{KEYS}/{uuid.uuid4()}")
    refused = await other.delete(f"{KEYS}/{key['id']}")
    assert (refused.status_code, refused.json()) == (absent.status_code, absent.json()) == (404, absent.json())
    assert (await server.client(by(key)).get(ME)).json()["username"] == "owner"
    assert (await other.get(KEYS, headers={"Authorization": "Bearer none"})).status_code == 401


async def test_a_deleted_an_expired_and_an_inactive_account_s_key_are_refused(
    server: Server, users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    keys = [await made(owner, expires_at=expires) for expires in (None, "2999-01-01T00:00:00+05:00", None)]
    assert keys[1]["expires_at"] == "2998-12-31T19:00:00.000Z"
    assert (await owner.delete(f"{KEYS}/{keys[0]['id']}")).status_code == 204
    assert (await owner.delete(f"{KEYS}/{keys[0]['id']}")).status_code == 404
    await ApiKey.objects.filter(pk=keys[1]["id"]).aupdate(expires_at=timezone.now())
    statuses = [(await server.client(by(key)).get(ME)).status_code for key in keys]
    assert statuses == [401, 401, 200]
    await User.objects.filter(pk=users["owner"].pk).aupdate(is_active=False)
    assert (await server.client(by(keys[2])).get(ME)).status_code == 401
    assert await close_code(socket(by(keys[2]))) == 4401


@pytest.mark.parametrize("key", ["chat_", "chat_" + "a" * 40, "chat_" + "a" * 39 + "é", "chat_" + "a" * 4000])
async def test_what_is_no_key_is_refused(server: Server, owner: httpx.AsyncClient, key: str) -> None:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    assert (await server.client().get(ME, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "n" * 101},
        {"name": "n\x00"},
        {"name": 5},
        {"name": "n", "scopes": []},
        {"name": "n", "scopes": ["admin"]},
        {"name": "n", "scopes": "chat"},
        {"name": "n", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "n", "expires_at": "soon"},
        {"name": "n", "expires_at": "9999-12-31T23:59:59-05:00"},
        {"name": "n", "expires_at": 1e300},
    ],
)
async def test_what_makes_no_key_is_refused(owner: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    answer = await owner.post(KEYS, json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "INVALID_REQUEST"
    assert (await owner.get(KEYS)).json()["items"] == []


async def test_one_may_have_so_many(server: Server, owner: httpx.AsyncClient, settings: Settings) -> None:
    keys = [await made(owner) for _number in range(settings.CHAT_API_KEYS_PER_USER)]
    refused = await owner.post(KEYS, json={"name": "one more"})
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    await owner.delete(f"{KEYS}/{keys[0]['id']}")
    await made(owner)


async def test_the_same_request_again_makes_no_second_key_and_does_not_show_the_first(
    owner: httpx.AsyncClient,
) -> None:
    first, again = [
        await owner.post(KEYS, json={"name": "bot"}, headers={"Idempotency-Key": "once"}) for _number in range(2)
    ]
    assert (first.status_code, again.status_code) == (201, 201)
    assert is_key(first.json()["key"])
    assert again.json() == {**first.json(), "key": None}
    assert len((await owner.get(KEYS)).json()["items"]) == 1


# Scopes


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of whatever asks who one is."""
    for schema in (api.get_openapi_schema(), openai.get_openapi_schema(path_prefix="/v1/")):
        for path, methods in schema["paths"].items():
            for method in methods:
                if not path.startswith("/api/v1/auth/") or path.endswith("everywhere"):
                    yield method, path


def allowed(scopes: set[str], method: str, path: str) -> bool:
    if path.startswith("/api/v1/") and path.split("/")[3] in FOR_PEOPLE:
        return (method, path) == ("get", ME) and "read" in scopes
    return ("read" if method in ("get", "head") else "chat") in scopes


@pytest.mark.parametrize("scopes", [{"read"}, {"chat"}, {"read", "chat"}], ids=lambda scopes: "+".join(sorted(scopes)))
async def test_a_key_does_what_its_scopes_say_and_nothing_that_is_for_people(
    server: Server, owner: httpx.AsyncClient, scopes: set[str]
) -> None:
    program = server.client(by(await made(owner, scopes=sorted(scopes))))
    wrong = []
    for method, path in operations():
        answer = await program.request(method.upper(), path.replace("{id}", str(uuid.uuid4())))
        assert answer.status_code < 500, (method, path, answer.text)
        assert answer.status_code != 401, (method, path, answer.text)
        if (answer.status_code != 403) != allowed(scopes, method, path):
            wrong.append((method, path, answer.status_code))
    assert wrong == []


async def test_what_is_marked_nowhere_takes_no_key_that_would_change_something(
    server: Server, owner: httpx.AsyncClient
) -> None:
    program = server.client(by(await made(owner)))
    answer = await program.post("/api/v1/auth/sign-out-everywhere")
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert (await program.post("/api/v1/auth/revoke")).status_code == 403
    assert (await owner.get(ME)).status_code == 200


async def test_a_socket_of_a_key_that_only_reads_follows_and_commands_nothing(
    server: Server, owner: httpx.AsyncClient
) -> None:
    running = await owner.post(
        "/api/v1/chat", json={"message": "hi", "model": "tokens-3000-20"}, headers={"Prefer": "respond-async"}
    )
    generation = running.json()["generation"]
    communicator = socket(by(await made(owner, scopes=["read"])))
    await communicator.connect(timeout=10)
    for command in (
        {"type": "send", "message": "hi"},
        {"text": "hi"},
        *({"type": type, "generation": generation} for type in ("stop", "pause", "resume")),
    ):
        await communicator.send_json_to({**command, "ref": "r"})
        refused = await frame(communicator, "refused")
        assert (refused["code"], refused["ref"], refused["details"]) == ("FORBIDDEN", "r", {"scope": "chat"})
    await communicator.send_json_to({"type": "follow", "generation": generation})
    assert (await frame(communicator, "start"))["generation"] == generation
    await communicator.disconnect()
    assert (await owner.get(f"/api/v1/generations/{generation}")).json()["status"] in ("queued", "streaming")


@pytest.mark.parametrize("scope", ["read", "chat"])
async def test_only_a_key_that_reads_hears_of_what_changes_elsewhere(
    server: Server, owner: httpx.AsyncClient, scope: str
) -> None:
    communicator = socket(by(await made(owner, scopes=[scope])))
    await communicator.connect(timeout=10)
    await communicator.send_json_to({"type": "ping"})
    await frame(communicator, "pong")
    made_elsewhere = await owner.post(CONVERSATIONS, json={"title": "a secret"})
    assert made_elsewhere.status_code == 201
    await runtime.current()._tasks.aclose()
    if scope == "read":
        assert (await frame(communicator, "conversation"))["id"] == made_elsewhere.json()["id"]
    await communicator.send_json_to({"type": "ping"})
    assert (await communicator.receive_json_from())["type"] == "pong"
    await communicator.disconnect()
