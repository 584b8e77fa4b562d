"""The lines that say what a server does: one for each request, each WebSocket and each generation."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from django.core.checks import run_checks
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings
from websockets.asyncio.client import connect

from chat.logs import HIDDEN
from chatsite.request_log import shown
from tests.chat_server import PASSWORD, ChatServer, server_events
from tests.log_lines import line, lines
from tests.watched_server import BAD, ENDLESS, GOOD, RECOVERS, watched

__all__ = ["watched"]

Watch = Callable[..., Awaitable[ChatServer]]
ALWAYS = {"timestamp", "level", "logger", "event", "duration_ms"}
REQUEST = ALWAYS | {"method", "path", "status", "transport", "request_id"}


def owner(server: ChatServer) -> str:
    [(id,)] = server.database.execute("SELECT id FROM chat_user WHERE username = 'owner'")
    return str(uuid.UUID(str(id)))


def send(model: str) -> dict[str, str]:
    return {"message": "hello", "provider": "main", "model": model}


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_every_request_has_one_line(watched: Watch, kind: str) -> None:
    server = await watched(kind, LOG_FORMAT="json")
    async with await server.client() as client:
        user = owner(server)
        answer = await client.get("/conversations?limit=3", headers={"X-Request-ID": "from.the-proxy_1"})
        written = await line(server, "request", path="/api/v1/conversations")
        assert answer.headers["x-request-id"] == written["request_id"] == "from.the-proxy_1"
        assert set(written) == REQUEST | {"user"}
        assert (written["method"], written["status"], written["transport"]) == ("GET", 200, "http")
        assert (written["user"], written["level"]) == (user, "info")
        assert written["duration_ms"] > 0

        async with client.stream("POST", "/chat", json=send(GOOD)) as answer:
            generation = answer.headers["x-generation-id"]
            assert lines(server, "request", transport="sse") == [], "it comes at the stream's end"
            async for _event in server_events(answer):
                pass
        written = await line(server, "request", path="/api/v1/chat")
        ended = await line(server, "generation", generation=generation)
        assert set(written) == REQUEST | {"user", "generation"}
        assert (written["transport"], written["generation"], written["user"]) == ("sse", generation, user)
        assert written["duration_ms"] >= ended["duration_ms"]

        missing = await client.get(f"/generations/{user}")
        written = await line(server, "request", path=f"/api/v1/generations/{user}")
        assert (written["status"], written["request_id"]) == (404, missing.headers["x-request-id"])

    async with httpx.AsyncClient(base_url=server.url) as stranger:
        for strange in ("a" * 65, "with space", 'quote"', ""):
            answer = await stranger.get("/api/v1/conversations", headers={"X-Request-ID": strange})
            assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
        await stranger.get("/static/chat/nothing.js")
        await stranger.get("/healthz")
        await stranger.get("/metrics-of-nobody")
        written = await line(server, "request", path="/api/v1/conversations", request_id=answer.headers["x-request-id"])
        assert (written["status"], "user" in written) == (401, False)
    assert await line(server, "request", path="/metrics-of-nobody"), "what is only like them is told"
    quiet = ("/healthz", "/readyz", "/static/")
    assert not [one for one in lines(server, "request") if one["path"].startswith(quiet)]


async def test_a_page_says_who_looked(watched: Watch) -> None:
    server = await watched(LOG_FORMAT="json")
    async with httpx.AsyncClient(base_url=server.url) as browser:
        page = await browser.get("/accounts/login/")
        assert page.status_code == 200
        form = {"login": "owner", "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert (await browser.post("/accounts/login/?next=/", data=form)).status_code == 302
        assert (await browser.get("/", headers={"X-Request-ID": "page"})).status_code == 200
    assert "user" not in await line(server, "request", path="/accounts/login/", method="GET")
    assert (await line(server, "request", path="/", request_id="page"))["user"] == owner(server)


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_every_websocket_has_one_line_at_its_end(watched: Watch, kind: str) -> None:
    server = await watched(kind, LOG_FORMAT="json")
    user = owner(server)
    async with await server.socket() as socket:
        for _ in range(3):
            await socket.send(json.dumps({"type": "ping"}))
            await socket.recv()
        assert lines(server, "websocket") == []
    written = await line(server, "websocket", code=1000)
    assert set(written) == ALWAYS | {"path", "code", "commands", "transport", "request_id", "user"}
    assert (written["path"], written["commands"], written["user"]) == ("/ws/chat/", 3, user)

    address = f"{server.url.replace('http', 'ws')}/ws/chat/"
    async with connect(address, additional_headers={"Authorization": "Bearer wrong"}) as socket:
        await socket.wait_closed()
    written = await line(server, "websocket", code=4401)
    assert (written["commands"], "user" in written) == (0, False)


async def test_every_generation_has_one_line_at_its_end(watched: Watch) -> None:
    server = await watched(LOG_FORMAT="json")
    user = owner(server)
    async with await server.client() as client:
        ids = {}
        for model in (GOOD, BAD, RECOVERS, ENDLESS):
            answer = await client.post("/chat", json=send(model), headers={"Prefer": "respond-async"})
            ids[model] = answer.json()
        await client.post(f"/generations/{ids[ENDLESS]['generation']}/stop")
        written = {model: await line(server, "generation", generation=ids[model]["generation"]) for model in ids}
        record = (await client.get(f"/generations/{ids[GOOD]['generation']}")).json()
    for model, one in written.items():
        assert set(one) == ALWAYS | {
            *("generation", "conversation", "user", "provider", "model", "upstream", "status", "error_code"),
            *("first_token_ms", "tokens_in", "tokens_out", "tokens_estimated", "attempts"),
        }
        assert (one["user"], one["provider"], one["model"], one["upstream"]) == (user, "main", model, "sse")
        assert one["conversation"] == ids[model]["conversation"]
    outcomes = {model: (one["status"], one["error_code"], one["attempts"]) for model, one in written.items()}
    assert outcomes[GOOD] == ("completed", None, 1)
    assert outcomes[BAD] == ("failed", "UPSTREAM_REJECTED", 1)
    assert outcomes[RECOVERS] == ("completed", None, 2)
    assert outcomes[ENDLESS][0] == "cancelled"
    good = written[GOOD]
    assert (good["tokens_in"], good["tokens_out"]) == (
        record["usage"]["input_tokens"],
        record["usage"]["output_tokens"],
    )
    assert 0 <= good["first_token_ms"] <= good["duration_ms"]
    assert written[BAD]["first_token_ms"] is None


async def test_they_can_be_left_out(watched: Watch) -> None:
    server = await watched(LOG_FORMAT="json", CHAT_REQUEST_LOG="off")
    async with await server.client() as client:
        answer = await client.post("/chat", json=send(GOOD), headers={"Accept": "application/json"})
    assert answer.status_code == 200
    assert "x-request-id" not in answer.headers
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "ping"}))
        await socket.recv()
    server.stop()
    assert [lines(server, event) for event in ("request", "websocket", "generation")] == [[], [], []]


@pytest.mark.parametrize("name", ["CHAT_REQUEST_LOG", "CHAT_TRACES"])
def test_a_word_that_is_no_choice_is_refused(settings: Settings, name: str) -> None:
    setattr(settings, name, "perhaps")
    assert [message.id for message in run_checks() if name in message.msg] == ["chat.E005"]


# What a path may hold


def keys(patterns: list[Any], before: str = "/") -> Iterator[str]:
    """Every address that has something called a key or a token in it, with a value there."""
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from keys(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern) and re.search(r"<(?:\w+:)?(?:key|token|secret)\b", here):
            yield here


def test_no_key_in_a_path_is_shown() -> None:
    found = sorted(keys(get_resolver().url_patterns))
    assert len(found) >= 2, "allauth's: the confirmation of an address, and a new password"
    for pattern in found:
        start = pattern[: re.search(r"[<(]", pattern).start()].replace("^", "")  # type: ignore[union-attr]
        assert shown(f"{start}hush-hush/") == f"{start}{HIDDEN}/", pattern


def test_an_ordinary_path_is_shown_as_it_is() -> None:
    assert shown("/api/v1/generations/1/events") == "/api/v1/generations/1/events"
    assert len(shown("/" + "x" * 10_000)) == 256
