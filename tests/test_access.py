"""What is somebody else's does not exist: not for a stranger, and not for staff, who review in the admin alone.

The cast: `owner`, whose conversation has one finished reply and one that still runs; `stranger` and `staff`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from chat.api.router import api
from chat.models import ClientThread, User, Webhook
from chat.services.responses import response_id
from chatsite.asgi import application
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

Bearer = Callable[[User], Awaitable[dict[str, str]]]

BODIES = {
    ("patch", "/api/v1/conversations/{id}"): {"title": "stolen"},
    ("post", "/api/v1/messages/{id}/edit"): {"message": "stolen"},
    ("post", "/api/v1/messages/{id}/feedback"): {"value": -1},
}
"""What an operation needs to get as far as the question whose it is; the others need nothing."""

OTHERS = ("stranger", "staff")


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    names = {"owner": False, "stranger": False, "staff": True}
    return {name: make_user(name, is_staff=powerful, is_superuser=powerful) for name, powerful in names.items()}


@dataclass
class Owned:
    """What the owner has, by its kind in the addresses."""

    client: httpx.AsyncClient
    ids: dict[str, str]


@pytest.fixture
async def owned(server: Server, users: dict[str, User], bearer: Bearer) -> Owned:
    client = server.client(await bearer(users["owner"]))
    accept = {"Accept": "application/json"}
    said = await client.post("/api/v1/chat", json={"message": "a secret", "model": "tokens-3-0"}, headers=accept)
    assert said.status_code == 200, said.text
    conversation = said.json()["conversation"]
    running = await client.post(
        "/api/v1/chat",
        json={"message": "more", "conversation": conversation, "model": "tokens-3000-20"},
        headers={"Prefer": "respond-async"},
    )
    assert running.status_code == 202, running.text
    ids = {
        "conversations": conversation,
        "messages": running.json()["message"],
        "generations": running.json()["generation"],
        "ui": "of-the-owner",
        "webhooks": str((await Webhook.objects.acreate(user=users["owner"], url="https://hooks.example.com")).id),
    }
    ids["responses"] = response_id(ids["generations"])
    ids["api-keys"] = (await client.post("/api/v1/api-keys", json={"name": "of the owner"})).json()["id"]
    await ClientThread.objects.acreate(
        user=users["owner"], format="ui", name=ids["ui"], conversation_id=ids["conversations"]
    )
    return Owned(client, ids)


def operations() -> list[tuple[str, str]]:
    """Method and path of whatever in the API takes an id, as its schema has it."""
    return sorted(
        (method, path)
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
        if "{" in path
    )


EVERYBODYS = {"/v1/models/{id}"}
"""What has an id and no owner."""


def owned_operations() -> list[tuple[str, str]]:
    return [operation for operation in operations() if operation[1] not in EVERYBODYS]


def kind_of(path: str) -> str:
    """What its id is of."""
    return path.split("/v1/")[1].split("/")[0]


def code_of(refusal: dict[str, Any]) -> str:
    """In either shape."""
    error = refusal["error"]
    code: str = error["code"] if isinstance(error, dict) else refusal["code"]
    return code


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield "/" + path


def test_the_schema_hides_no_address_that_takes_an_id() -> None:
    in_schema = {path for _method, path in operations()}
    taking = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in routes(get_resolver()) if "<" in route}
    assert in_schema == {path for path in taking if path.startswith(("/api/", "/v1/"))}
    assert len(in_schema) >= 10


def request(method: str, path: str, id: str, body: dict[str, Any] | None) -> dict[str, Any]:
    return {"method": method.upper(), "url": path.replace("{id}", id), "json": body}


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize(("method", "path"), owned_operations())
async def test_what_is_somebody_elses_is_answered_like_what_is_not_there(
    server: Server, users: dict[str, User], owned: Owned, bearer: Bearer, who: str, method: str, path: str
) -> None:
    client = server.client(await bearer(users[who]))
    kind = kind_of(path)
    body = BODIES.get((method, path))
    theirs = await client.request(**request(method, path, owned.ids[kind], body))
    absent = await client.request(**request(method, path, str(uuid.uuid4()), body))
    if path.endswith("/stream"):  # whose client asks whether there is something to take up again
        assert (theirs.status_code, theirs.content) == (absent.status_code, absent.content) == (204, b"")
    else:
        assert theirs.status_code == absent.status_code == 404
        assert theirs.json() == absent.json()
        assert code_of(theirs.json()) in ("NOT_FOUND", "not_found")
    assert "stolen" not in (await owned.client.get(f"/api/v1/conversations/{owned.ids['conversations']}")).text
    generation = await owned.client.get(f"/api/v1/generations/{owned.ids['generations']}")
    assert generation.json()["status"] in ("queued", "streaming"), "it still runs as if nobody had asked"


@pytest.mark.parametrize(
    ("method", "path"), [one for one in owned_operations() if not one[1].endswith(("/events", "/stream"))]
)
async def test_the_owner_is_let_through_by_the_same_request(owned: Owned, method: str, path: str) -> None:
    """Else the refusals above would prove nothing. (Events stream for as long as the reply runs.)"""
    headers = {"Prefer": "respond-async"}
    body = BODIES.get((method, path))
    ask = request(method, path, owned.ids[kind_of(path)], body)
    response = await owned.client.request(**ask, headers=headers)
    assert response.status_code not in (401, 403, 404), response.text
    assert response.status_code < 500


async def test_an_id_in_the_digits_of_another_script_is_nobodys(owned: Owned) -> None:
    """Python reads them as the same number, a header cannot hold them."""
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    same = owned.ids["generations"].translate(wide)
    for path in (f"/api/v1/generations/{same}", f"/api/v1/generations/{same}/events"):
        assert (await owned.client.get(path)).status_code == 404


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("field", ["conversation", "parent"])
async def test_nobody_writes_into_somebody_elses_conversation(
    server: Server, users: dict[str, User], owned: Owned, bearer: Bearer, who: str, field: str
) -> None:
    client = server.client(await bearer(users[who]))
    body = {"message": "stolen", "conversation": owned.ids["conversations"]}
    if field == "parent":
        own = (await client.post("/api/v1/conversations", json={})).json()
        body = {"message": "stolen", "conversation": own["id"], "parent": owned.ids["messages"]}
    response = await client.post("/api/v1/chat", json=body)
    assert response.status_code == 404
    messages = await owned.client.get(f"/api/v1/conversations/{owned.ids['conversations']}/messages")
    assert len(messages.json()["items"]) == 4
    assert "stolen" not in messages.text


@pytest.mark.parametrize("who", OTHERS)
async def test_a_list_has_only_what_is_ones_own(
    server: Server, users: dict[str, User], owned: Owned, bearer: Bearer, who: str
) -> None:
    client = server.client(await bearer(users[who]))
    assert (await client.get("/api/v1/conversations")).json()["items"] == []
    assert len((await owned.client.get("/api/v1/conversations")).json()["items"]) == 1


@pytest.mark.parametrize(("method", "path"), owned_operations())
async def test_nobody_gets_anything_without_a_sign_in(server: Server, owned: Owned, method: str, path: str) -> None:
    ask = request(method, path, owned.ids[kind_of(path)], BODIES.get((method, path)))
    response = await server.client().request(**ask)
    assert response.status_code == 401
    assert code_of(response.json()) in ("UNAUTHENTICATED", "invalid_api_key")


# The socket


def socket(headers: dict[str, str]) -> WebsocketCommunicator:
    named = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()]
    return WebsocketCommunicator(application, "/ws/chat/", headers=named)


async def frame(communicator: WebsocketCommunicator, type: str) -> dict[str, Any]:
    """The next frame of this type."""
    while True:
        received: dict[str, Any] = await communicator.receive_json_from(timeout=10)
        if received["type"] == type:
            return received


async def close_code(communicator: WebsocketCommunicator) -> int:
    connected, _subprotocol = await communicator.connect(timeout=10)
    assert connected, "a browser reads the code only of a socket that was open"
    closed = await communicator.receive_output(timeout=10)
    assert closed["type"] == "websocket.close"
    code: int = closed["code"]
    return code


@pytest.mark.parametrize("who", OTHERS)
async def test_a_socket_refuses_commands_for_somebody_elses_generation(
    users: dict[str, User], owned: Owned, bearer: Bearer, who: str
) -> None:
    communicator = socket(await bearer(users[who]))
    await communicator.connect(timeout=10)
    for command in ("follow", "stop", "pause", "resume"):
        told = []
        for generation in (owned.ids["generations"], str(uuid.uuid4())):
            await communicator.send_json_to({"type": command, "generation": generation, "ref": command})
            told.append(await frame(communicator, "refused"))
        assert told[0] == told[1], "an existing one must look like none"
        assert (told[0]["code"], told[0]["ref"]) == ("NOT_FOUND", command)
    await communicator.send_json_to(
        {"type": "send", "message": "stolen", "conversation": owned.ids["conversations"], "ref": 1}
    )
    assert (await frame(communicator, "refused"))["code"] == "NOT_FOUND"
    await communicator.disconnect()
    generation = await owned.client.get(f"/api/v1/generations/{owned.ids['generations']}")
    assert generation.json()["status"] in ("queued", "streaming")


async def test_a_socket_of_the_owner_follows_and_stops_the_same_generation(
    users: dict[str, User], owned: Owned, bearer: Bearer
) -> None:
    communicator = socket(await bearer(users["owner"]))
    await communicator.connect(timeout=10)
    await communicator.send_json_to({"type": "follow", "generation": owned.ids["generations"]})
    assert (await frame(communicator, "start"))["generation"] == owned.ids["generations"]
    await communicator.send_json_to({"type": "stop", "generation": owned.ids["generations"]})
    while not (said := await frame(communicator, "message"))["isFinal"]:
        pass
    assert (said["generation"], said["finish_reason"]) == (owned.ids["generations"], "cancelled")
    await communicator.disconnect()


async def test_a_socket_without_a_sign_in_closes_with_4401(server: Server) -> None:
    assert await close_code(socket({})) == 4401
    assert await close_code(socket({"Authorization": "Bearer a.b.c"})) == 4401
    assert await close_code(socket({"Cookie": f"{settings.SESSION_COOKIE_NAME}={'a' * 32}"})) == 4401


@pytest.fixture
def cookie(users: dict[str, User]) -> dict[str, str]:
    browser = Client()
    browser.force_login(users["owner"])
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"}


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost.evil.example", "null", ""])
async def test_a_socket_from_another_site_closes_with_4403(server: Server, cookie: dict[str, str], origin: str) -> None:
    assert await close_code(socket({**cookie, "Origin": origin})) == 4403


async def test_a_socket_from_this_site_is_served(server: Server, cookie: dict[str, str]) -> None:
    communicator = socket({**cookie, "Origin": "http://localhost"})
    await communicator.connect(timeout=10)
    await communicator.send_json_to({"type": "ping"})
    assert (await frame(communicator, "pong"))["type"] == "pong"
    await communicator.disconnect()


@pytest.mark.parametrize("first", ["%0A", "%20", "+"])
async def test_an_id_that_only_python_would_read_is_none(owned: Owned, first: str) -> None:
    """It stands in a header of the answer."""
    id = owned.ids["generations"]
    assert id[0] == "0"
    for path in (f"{first}{id[1:]}", f"{first}{id[1:]}/events"):
        assert (await owned.client.get(f"/api/v1/generations/{path}")).status_code == 404
