"""A chain of providers as its users meet it: who answers when the first one doesn't, and what cannot be taken back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from chat.simulators.script import FAULT_TEXT, Fault
from tests.chat_server import ChatServer, server_events
from tests.guarantees.conftest import SECRETS, Upstreams
from tests.server_database import ServerDatabase

BEFORE_TEXT = (
    Fault.REFUSE,
    Fault.CUT_EARLY,
    Fault.RATE_LIMITED,
    Fault.SILENCE,
    Fault.SERVER_ERROR,
    Fault.UNAUTHORIZED,
    Fault.EMPTY,
)
AFTER_TEXT = (Fault.CUT, Fault.ERROR_FRAME, Fault.STALL, Fault.NO_END_MARK)
ANSWER = "t000001 t000002 t000003 "

Ask = Callable[[ChatServer, str, str], Awaitable[list[dict[str, Any]]]]


async def over_sse(server: ChatServer, provider: str, model: str) -> list[dict[str, Any]]:
    async with await server.client() as client:
        send = {"message": "hello", "provider": provider, "model": model}
        async with client.stream("POST", "/chat", json=send) as answer:
            return [{**json.loads(event.data), "type": event.event} async for event in server_events(answer)]


async def over_websocket(server: ChatServer, provider: str, model: str) -> list[dict[str, Any]]:
    socket: ClientConnection
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "send", "message": "hello", "provider": provider, "model": model}))
        frames: list[dict[str, Any]] = []
        while not frames or not (frames[-1].get("isFinal") or frames[-1]["type"] in ("error", "refused")):
            frame = json.loads(await socket.recv())
            if "seq" in frame or frame["type"] == "refused":
                frames.append(frame)
        return frames


@pytest.fixture
async def chained(tmp_path: Path, prepared_database: ServerDatabase, upstreams: Upstreams) -> Any:
    """A server whose `sse` and `websocket` fail in each way, and fall back on each other's kind."""
    models = ", ".join(f'"fault-{fault.value}"' for fault in (*BEFORE_TEXT, *AFTER_TEXT))
    timeout = "timeout = { connect = 2, first_token = 1, idle = 1, total = 30 }"
    keys = 'api_key = "env:TEST_KEY"'
    secrets = f'{keys}\napp_id = "env:TEST_APP"\napi_secret = "env:TEST_SECRET"'
    toml = f"""
[providers.sse]
kind = "openai_chat"
base_url = "{upstreams.sse.url}"
{keys}
models = [{models}]
fallback = ["spare-websocket"]
retries = 1
{timeout}

[providers.websocket]
kind = "spark"
base_url = "{upstreams.websocket.url}"
{secrets}
models = [{models}]
fallback = ["spare-sse"]
retries = 1
{timeout}

[providers.spare-sse]
kind = "openai_chat"
base_url = "{upstreams.sse.url}"
{keys}
models = ["tokens-3-0"]

[providers.spare-websocket]
kind = "spark"
base_url = "{upstreams.websocket.url}"
{secrets}
models = ["tokens-3-0"]
"""
    server = ChatServer(tmp_path, SECRETS)
    server.declare(toml)
    server.prepare(prepared_database)
    await server.start()
    yield server
    server.close()


@pytest.mark.parametrize("ask", [over_sse, over_websocket])
@pytest.mark.parametrize(("first", "spare"), [("sse", "spare-websocket"), ("websocket", "spare-sse")])
async def test_a_failure_before_the_first_token_gets_the_nexts_answer(
    chained: ChatServer, ask: Ask, first: str, spare: str
) -> None:
    for fault in BEFORE_TEXT:
        events = await ask(chained, first, f"fault-{fault.value}")
        text = "".join(event["delta"] for event in events if event["type"] == "message")
        assert (text, events[-1]["text"], events[-1]["finish_reason"]) == (ANSWER, ANSWER, "stop"), fault
        notes = [(event["note"], event["details"]) for event in events if event["type"] == "note"]
        assert notes == [("fallback", who_answered(first, spare, fault))], fault
        generation = await kept(chained, events[0]["generation"])
        assert (generation["provider"], generation["model"], generation["text"]) == (spare, "tokens-3-0", ANSWER), fault
        assert generation["upstream"] == spare.removeprefix("spare-"), fault


@pytest.mark.parametrize(("first", "spare"), [("sse", "spare-websocket"), ("websocket", "spare-sse")])
async def test_the_same_key_gets_the_start_that_was_given_first(chained: ChatServer, first: str, spare: str) -> None:
    send = {"message": "hello", "provider": first, "model": "fault-500", "key": f"{first} once"}
    async with await chained.client() as client:
        async with client.stream("POST", "/chat", json=send) as answer:
            [start, *_others] = [json.loads(event.data) async for event in server_events(answer)]
        again = await client.post("/chat", json=send, headers={"Prefer": "respond-async"})
        assert again.status_code == 202
        async with await chained.socket() as socket:
            await socket.send(json.dumps({"type": "send", **send}))
            while (accepted := json.loads(await socket.recv()))["type"] != "accepted":
                pass
    assert (start["provider"], start["model"], start["upstream"]) == (first, "fault-500", first)
    assert {name: start[name] for name in again.json()} == again.json()
    assert {name: accepted[name] for name in again.json()} == again.json()
    assert (await kept(chained, start["generation"]))["provider"] == spare


@pytest.mark.parametrize("ask", [over_sse, over_websocket])
@pytest.mark.parametrize("first", ["sse", "websocket"])
async def test_a_failure_after_it_is_an_error_with_the_text_kept_and_the_answer_can_go_on(
    chained: ChatServer, ask: Ask, first: str
) -> None:
    for fault in AFTER_TEXT:
        events = await ask(chained, first, f"fault-{fault.value}")
        text = "".join(event["delta"] for event in events if event["type"] == "message")
        assert (text, events[-1]["type"], events[-1]["retryable"]) == ("".join(FAULT_TEXT), "error", True), fault
        assert not [event for event in events if event["type"] == "note"], fault
        start = events[0]
        generation = await kept(chained, start["generation"])
        assert (generation["status"], generation["text"], generation["provider"]) == ("failed", text, first), fault
        async with await chained.client() as client:
            went_on = await continued(client, start["message"])
        assert went_on["text"].startswith(text), fault


def who_answered(first: str, spare: str, fault: Fault) -> dict[str, str]:
    """The details of the note; the providers are named by how they are spoken to."""
    answering = {"provider": spare, "model": "tokens-3-0", "upstream": spare.removeprefix("spare-")}
    return answering | {"asked": first, "asked_model": f"fault-{fault.value}", "asked_upstream": first}


async def kept(server: ChatServer, generation: str) -> dict[str, Any]:
    async with await server.client() as client:
        return (await client.get(f"/generations/{generation}")).json()


async def continued(client: httpx.AsyncClient, message: str) -> dict[str, Any]:
    """The message after one more generation, which fails as the first did; what was there stays in front."""
    async with client.stream("POST", f"/messages/{message}/continue", json={}) as answer:
        assert answer.status_code == 200
        conversation = answer.headers["x-conversation-id"]
        async for _event in server_events(answer):
            pass
    messages = (await client.get(f"/conversations/{conversation}/messages")).json()["items"]
    return next(one for one in messages if one["id"] == message)
