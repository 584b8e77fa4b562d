"""The adapter for Anthropic's Messages API over real sockets: what it sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx import AsyncBaseTransport

from chat.events import Finish, FinishReason
from chat.providers.anthropic import Anthropic
from chat.providers.base import ChatRequest, Params, Picture, Profile, Turn
from chat.providers.claude_models import takes
from chat.providers.continuing import CONTINUE
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import Registry
from tests.providers.anthropic_upstream import ASKED, ENDED, REPLY, STOPPED, anthropic_for, play, said
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, question, read, sent
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.anthropic import RIG, AnthropicSimulator


@pytest.fixture
async def simulator() -> AsyncIterator[AnthropicSimulator]:
    simulator = AnthropicSimulator(API_KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


# What is sent


async def test_the_conversation_goes_by_turns(simulator: AnthropicSimulator, client: AsyncBaseTransport) -> None:
    turns = (
        Turn("system", "Be brief."), Turn("system", " "), Turn("assistant", "Welcome!"),
        ASKED, Turn("assistant", "\n"), Turn("user", "Or two?"), Turn("assistant", "Two. "), Turn("user", "Three?"),
    )  # fmt: skip
    body = await sent(simulator, anthropic_for(simulator.url, client), ChatRequest("tokens-1-0", turns))
    assert body["system"] == "Be brief."
    assert body["messages"] == [
        {"role": "user", "content": "One?\n\nOr two?"},
        {"role": "assistant", "content": "Two. "},
        {"role": "user", "content": "Three?"},
    ]
    assert "metadata" not in body


async def test_an_answer_has_a_length_of_its_own_where_none_is_asked_for(
    simulator: AnthropicSimulator, client: AsyncBaseTransport
) -> None:
    provider = anthropic_for(simulator.url, client)
    assert (await sent(simulator, provider, question("tokens-1-0")))["max_tokens"] == 4096
    reply = await read(provider, ChatRequest("tokens-9-0", (ASKED,), Params(max_tokens=4)))
    assert reply.text == "t000001 t000002 t000003 t000004 "
    assert reply.finishes == [Finish(FinishReason.LENGTH)]


PARAMETERS: list[tuple[Params, dict[str, Any]]] = [
    (Params(), {"max_tokens": 4096}),
    (Params(1.7, 0.5, 10), {"max_tokens": 10, "temperature": 1.0, "top_p": 0.5}),
    (Params(-1.0, 1.5, 0), {"max_tokens": 1, "temperature": 0.0, "top_p": 1.0}),
]
THINKING: list[tuple[Params, dict[str, Any]]] = [
    (Params(), {"max_tokens": 4096 + 2048}),
    (Params(0.3, 0.5, 10), {"max_tokens": 10 + 2048, "top_p": 0.95}),
    (Params(1.0, 0.99), {"max_tokens": 4096 + 2048, "top_p": 0.99}),
]


@pytest.mark.parametrize(("params", "wanted"), PARAMETERS)
async def test_parameters_are_clipped_to_what_is_taken(
    simulator: AnthropicSimulator, client: AsyncBaseTransport, params: Params, wanted: dict[str, Any]
) -> None:
    body = await sent(simulator, anthropic_for(simulator.url, client), ChatRequest("tokens-1-0", (ASKED,), params))
    assert body == {"model": "tokens-1-0", "messages": [{"role": "user", "content": "One?"}], "stream": True, **wanted}


@pytest.mark.parametrize(("params", "wanted"), THINKING)
async def test_a_model_that_thinks_has_room_to(
    simulator: AnthropicSimulator, client: AsyncBaseTransport, params: Params, wanted: dict[str, Any]
) -> None:
    provider = anthropic_for(simulator.url, client, thinking=2048)
    body = await sent(simulator, provider, ChatRequest("reasons", (ASKED,), params))
    assert body.pop("thinking") == {"type": "enabled", "budget_tokens": 2048}
    assert body == {"model": "reasons", "messages": [{"role": "user", "content": "One?"}], "stream": True, **wanted}


NEWER: list[tuple[str, int | None, dict[str, Any]]] = [
    ("claude-3-5-haiku-20241022", None, {"max_tokens": 4096, "temperature": 0.5, "top_p": 0.9}),
    ("claude-sonnet-4-20250514", None, {"max_tokens": 16_384, "temperature": 0.5, "top_p": 0.9}),
    ("claude-opus-4-1-20250805", None, {"max_tokens": 16_384, "temperature": 0.5}),
    ("claude-haiku-4-5", None, {"max_tokens": 16_384, "temperature": 0.5}),
    ("claude-haiku-4-5", 1024,
     {"max_tokens": 17_408, "top_p": 0.95, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ("anthropic/claude-opus-4.8", None, {"max_tokens": 16_384}),
    ("claude-sonnet-5", 1024, {"max_tokens": 17_408, "thinking": {"type": "adaptive", "display": "summarized"}}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "thinking", "wanted"), NEWER)
def test_each_claude_is_sent_what_it_takes(
    client: AsyncBaseTransport, model: str, thinking: int | None, wanted: dict[str, Any]
) -> None:
    provider = anthropic_for("http://localhost", client, model, thinking=thinking)
    body = provider.body(ChatRequest(model, (ASKED,), Params(0.5, 0.9)))
    assert {name: body[name] for name in body.keys() - {"model", "messages", "stream"}} == wanted


@pytest.mark.parametrize(
    ("model", "prefill"),
    [("claude-3-opus-20240229", True), ("claude-sonnet-4-5-20250929", True), ("claude-opus-4-6", False),
     ("claude-opus-5", False), ("us.anthropic.claude-sonnet-4-6-v1:0", False), ("deepseek-chat", True)],
)  # fmt: skip
def test_newer_claudes_take_no_prefill(model: str, prefill: bool) -> None:
    assert takes(model).prefill is prefill


async def test_pictures_come_before_their_question(simulator: AnthropicSimulator, client: AsyncBaseTransport) -> None:
    pictures = (Picture("image/png", b"\x89PNG"), Picture("image/gif", b"GIF89a"))
    request = ChatRequest("tokens-1-0", (Turn("user", "", pictures), Turn("user", "Which?")))
    body = await sent(simulator, anthropic_for(simulator.url, client), request)
    (message,) = body["messages"]
    assert [block["type"] for block in message["content"]] == ["image", "image", "text"]
    assert message["content"][1]["source"] == {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}


async def test_the_keys_and_versions_stand_in_headers(client: AsyncBaseTransport) -> None:
    async with RawUpstream(STREAM_HEAD + REPLY) as upstream:
        await read(anthropic_for(upstream.url, client, beta="a-2025-01-01,b-2026-01-01"), question("demo"))
        keyless = Anthropic(
            Profile("anthropic", "Anthropic", MODELS, TIMEOUTS, 0), base_url=upstream.url, api_key=None, http=client
        )
        await read(keyless, question("demo"))
    first, second = (request.lower() for request in upstream.requests)
    assert first.startswith(b"post /v1/messages http/1.1\r\n")
    assert b"\r\nanthropic-beta: a-2025-01-01,b-2026-01-01\r\n" in first
    assert b"\r\nx-api-key: " + API_KEY.encode() in first
    assert b"x-api-key" not in second
    assert b"anthropic-beta" not in second
    assert json.loads(first.partition(b"\r\n\r\n")[2])["metadata"] == {"user_id": "u" * 32}


async def test_too_small_a_budget_is_a_mistake_of_the_providers_file() -> None:
    with pytest.raises(ProvidersFileError, match="thinking"):
        RIG.registry("http://localhost", thinking=512)


# An answer that broke off


UNFINISHED = (ASKED, Turn("assistant", "Some words \n "))


async def test_an_unfinished_answer_is_gone_on_with(simulator: AnthropicSimulator, client: AsyncBaseTransport) -> None:
    provider = anthropic_for(simulator.url, client)
    assert provider.prefills
    reply = await read(provider, ChatRequest("reasons", (ASKED, Turn("assistant", "Some words "))))
    assert simulator.connections[-1].request["messages"][-1] == {"role": "assistant", "content": "Some words"}
    assert reply.text == "came through "


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        ([" \n went on"], "went on"), ([" ", "\n", " ", " went"], " went"), ([" \nwent"], "went"),
        (["went ", " \n on"], "went  \n on"), ([""], ""),
    ],
)  # fmt: skip
async def test_white_space_that_was_left_out_is_not_said_twice(
    client: AsyncBaseTransport, deltas: list[str], text: str
) -> None:
    reply = await play(client, *map(said, deltas), STOPPED, ENDED, turns=UNFINISHED)
    assert reply.text == text


@pytest.mark.parametrize(("model", "options"), [("reasons", {"thinking": 1024}), ("claude-opus-4-6", {})])
async def test_where_no_prefill_is_taken_it_is_asked_to_go_on(
    client: AsyncBaseTransport, model: str, options: dict[str, Any]
) -> None:
    provider = anthropic_for("http://localhost", client, model, **options)
    assert not provider.prefills
    assert provider.body(ChatRequest(model, UNFINISHED))["messages"][1:] == [
        {"role": "assistant", "content": "Some words \n "},
        {"role": "user", "content": CONTINUE},
    ]


# The simulator is as strict as what it stands for


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "system", "content": "x"}]}, "Unexpected role"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "must alternate"),
    ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x "}]}, "trailing whitespace"),
    ({"temperature": 1.1}, "temperature: range"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "greater than or equal to 1024"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than"),
    ({"max_tokens": None}, "max_tokens"),
    ({"stop": "x"}, "stop"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
async def test_the_simulator_refuses_what_the_real_one_refuses(
    simulator: AnthropicSimulator, client: AsyncBaseTransport, change: dict[str, Any], words: str
) -> None:
    provider = anthropic_for(simulator.url, client)
    body = {**provider.body(ChatRequest("tokens-1-0", (ASKED,), Params(max_tokens=64))), **change}
    headers = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient() as direct:
        response = await direct.post(f"{simulator.url}/messages", json=body, headers=headers)
    assert (response.status_code, response.json()["type"]) == (400, "error")
    assert words in response.json()["error"]["message"]


async def test_a_usual_key_brings_it() -> None:
    registry = Registry.from_environment({"ANTHROPIC_API_KEY": "k"})
    try:
        assert [(one.id, one.kind) for one in registry.providers.values()] == [("anthropic", "anthropic")]
        assert registry.state("anthropic") == "ready"
    finally:
        await registry.aclose()
