"""Pages of other sites: the listed ones may call the API with a token, all others are left to the browser's refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.test import Client
from pytest_django import Settings

from chat.models import User
from chatsite.asgi import application
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

LISTED, OTHER = "https://app.example.com", "https://evil.example.com"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-lang"}

Bearer = Callable[[User], Awaitable[dict[str, str]]]


@pytest.fixture(autouse=True)
def origins(settings: Settings) -> None:
    settings.CHAT_CORS_ORIGINS = [LISTED, "http://localhost:3000"]
    settings.CSRF_TRUSTED_ORIGINS = []
    settings.CHAT_BODY_BYTES = 10_000


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


def sharing(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "a list": (200, {"url": "/api/v1/conversations"}),
    "a stream": (200, {"method": "POST", "url": "/api/v1/chat", "json": {"message": "hello"}}),
    "no sign-in": (401, {"url": "/api/v1/me", "headers": {"Authorization": "Bearer no"}}),
    "no such address": (404, {"url": "/api/v1/nothing"}),
    "no such address of OpenAI's": (404, {"url": "/v1/nothing"}),
    "no such method": (405, {"method": "PUT", "url": "/api/v1/conversations"}),
    "a body too large": (413, {"method": "POST", "url": "/api/v1/chat", "content": b"x" * 20_000}),
    "a body that makes no sense": (422, {"method": "POST", "url": "/api/v1/chat", "json": {}}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_every_answer_is_shared_with_a_listed_origin_and_no_other(
    server: Server, owner: User, bearer: Bearer, name: str
) -> None:
    status, asked = ANSWERS[name]
    asked = {"method": "GET", **asked}
    client = server.client(await bearer(owner))
    given = dict(asked.pop("headers", {}))
    answers = {
        origin: await client.request(**asked, headers={**given, **({"Origin": origin} if origin else {})})
        for origin in (LISTED, OTHER, "null", "https://app.example.com.evil.example.com", "")
    }
    assert {answer.status_code for answer in answers.values()} == {status}
    for origin, answer in answers.items():
        assert "Origin" in answer.headers["Vary"], "a cache must keep them apart"
        if origin != LISTED:
            assert sharing(answer) == {}
    shared = sharing(answers[LISTED])
    assert shared.keys() == {"access-control-allow-origin", "access-control-expose-headers"}
    assert shared["access-control-allow-origin"] == LISTED
    assert {"X-Generation-Id", "Location", "Retry-After", "ETag", "RateLimit-Remaining"} <= set(
        shared["access-control-expose-headers"].split(", ")
    )


async def test_a_preflight_needs_no_sign_in_and_allows_what_the_clients_send(server: Server) -> None:
    client = server.client()
    allowed = await client.options("/api/v1/chat", headers={"Origin": LISTED, **ASK})
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert allowed.headers["Access-Control-Allow-Origin"] == LISTED
    assert {"POST", "PATCH", "DELETE"} <= set(allowed.headers["Access-Control-Allow-Methods"].split(", "))
    names = set(allowed.headers["Access-Control-Allow-Headers"].lower().split(", "))
    ours = {"authorization", "content-type", "idempotency-key", "last-event-id", "prefer", "x-csrftoken"}
    assert names >= {*ours, "x-stainless-lang"}
    assert int(allowed.headers["Access-Control-Max-Age"]) > 0
    refused = await client.options("/api/v1/chat", headers={"Origin": OTHER, **ASK})
    assert sharing(refused) == {}
    strange = {**ASK, "Access-Control-Request-Headers": "x-a b, x-c:d"}
    answer = await client.options("/api/v1/chat", headers={"Origin": LISTED, **strange})
    assert "x-a" not in answer.headers["Access-Control-Allow-Headers"]


async def test_only_who_is_trusted_with_the_session_may_send_cookies(server: Server, settings: Settings) -> None:
    client = server.client()
    for trusted, credentials in (([], None), ([LISTED], "true"), (["https://*.example.com"], "true")):
        settings.CSRF_TRUSTED_ORIGINS = trusted
        for answer in (
            await client.get("/api/v1/me", headers={"Origin": LISTED}),
            await client.options("/api/v1/me", headers={"Origin": LISTED, **ASK}),
        ):
            assert answer.headers.get("Access-Control-Allow-Credentials") == credentials
            assert answer.headers["Access-Control-Allow-Origin"] == LISTED
        assert sharing(await client.get("/api/v1/me", headers={"Origin": OTHER})) == {}, "trusted, but not listed"


async def test_without_the_setting_and_for_operations_nothing_is_shared(server: Server, settings: Settings) -> None:
    client = server.client({"Origin": LISTED})
    for path in ("/healthz", "/readyz", "/metrics"):
        assert sharing(await client.get(path)) == {}
    settings.CHAT_CORS_ORIGINS = []
    assert sharing(await client.get("/api/v1/me")) == {}
    assert (await client.options("/api/v1/me", headers=ASK)).status_code == 405


async def opened(headers: dict[str, str], subprotocols: tuple[str, ...] = ()) -> int | None:
    """The code that the socket is closed with, None where it stays open."""
    named = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()]
    communicator = WebsocketCommunicator(application, "/ws/chat/", headers=named, subprotocols=[*subprotocols])
    await communicator.connect(timeout=10)
    await communicator.send_json_to({"type": "ping"})
    said = await communicator.receive_output(timeout=10)
    await communicator.disconnect()
    return int(said["code"]) if said["type"] == "websocket.close" else None


@pytest.fixture
def cookie(owner: User) -> dict[str, str]:
    browser = Client()
    browser.force_login(owner)
    name = django_settings.SESSION_COOKIE_NAME
    return {"Cookie": f"{name}={browser.cookies[name].value}"}


async def test_a_socket_of_a_listed_origin_needs_a_token_and_not_just_the_browsers_cookie(
    server: Server, owner: User, bearer: Bearer, cookie: dict[str, str], settings: Settings
) -> None:
    token = await bearer(owner)
    pair = ("chat.v1", f"bearer.{token['Authorization'].removeprefix('Bearer ')}")
    assert await opened({**token, "Origin": LISTED}) is None
    assert await opened({"Origin": LISTED, **cookie}, pair) is None
    assert await opened({**cookie, "Origin": LISTED}) == 4403
    assert await opened({**cookie, "Origin": LISTED, "Authorization": "Basic eDp5"}) == 4403
    assert await opened({**token, "Origin": OTHER}) == 4403
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]
    assert await opened({**cookie, "Origin": LISTED}) is None


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "",
        "app.example.com",
        "https://app.example.com/",
        "https://*.example.com",
        "HTTPS://app.example.com",
        "https://app.example.com:443",
        "https://app.example.com:99999",
        "https://somebody@app.example.com",
    ],
)
def test_what_no_browser_would_send_is_refused_at_the_start(settings: Settings, origin: str) -> None:
    settings.CHAT_CORS_ORIGINS = [LISTED, "http://localhost:3000", "http://[::1]:8080", "capacitor://localhost"]
    assert "chat.E011" not in {message.id for message in run_checks()}
    settings.CHAT_CORS_ORIGINS = [origin]
    assert "chat.E011" in {message.id for message in run_checks()}
