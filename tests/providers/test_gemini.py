"""The adapter for Gemini over real sockets: what it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx import AsyncBaseTransport

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers.base import ChatRequest, Params, Picture, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.registry import Registry
from tests.providers.conftest import API_KEY, question, read, sent
from tests.providers.gemini_upstream import ASKED, chunk, fail, gemini_for
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.gemini import GeminiSimulator


@pytest.fixture
async def simulator() -> AsyncIterator[GeminiSimulator]:
    simulator = GeminiSimulator(API_KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


# What is sent


async def test_the_conversation_goes_by_turns(simulator: GeminiSimulator, client: AsyncBaseTransport) -> None:
    turns = (
        Turn("system", "Be brief."), Turn("system", "Be kind."), Turn("assistant", "Welcome!"),
        ASKED, Turn("assistant", "\n"), Turn("user", "Or two?"), Turn("assistant", "Two."), Turn("user", "Three?"),
    )  # fmt: skip
    body = await sent(simulator, gemini_for(simulator.url, client), ChatRequest("tokens-1-0", turns))
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "One?\n\nOr two?"}]},
            {"role": "model", "parts": [{"text": "Two."}]},
            {"role": "user", "parts": [{"text": "Three?"}]},
        ],
    }


@pytest.mark.parametrize(
    ("params", "config"),
    [
        (Params(1.7, 0.5, 10), {"temperature": 1.7, "topP": 0.5, "maxOutputTokens": 10}),
        (Params(2.5, 1.5, 0), {"temperature": 2.0, "topP": 1.0, "maxOutputTokens": 1}),
        (Params(-1.0, -1.0), {"temperature": 0.0, "topP": 0.0}),
    ],
)
async def test_parameters_are_clipped_to_what_is_taken(
    simulator: GeminiSimulator, client: AsyncBaseTransport, params: Params, config: dict[str, Any]
) -> None:
    body = await sent(simulator, gemini_for(simulator.url, client), ChatRequest("tokens-1-0", (ASKED,), params))
    assert body["generationConfig"] == config


async def test_thoughts_come_where_they_are_wanted(simulator: GeminiSimulator, client: AsyncBaseTransport) -> None:
    assert (await read(gemini_for(simulator.url, client), question("reasons"))).reasoning == ""
    assert (await read(gemini_for(simulator.url, client, thoughts=True), question("reasons"))).reasoning != ""


async def test_an_unfinished_answer_is_asked_for_its_rest(
    simulator: GeminiSimulator, client: AsyncBaseTransport
) -> None:
    provider = gemini_for(simulator.url, client)
    assert not provider.prefills
    body = await sent(simulator, provider, ChatRequest("tokens-1-0", (ASKED, Turn("assistant", "Two an"))))
    assert body["contents"][1:] == [
        {"role": "model", "parts": [{"text": "Two an"}]},
        {"role": "user", "parts": [{"text": CONTINUE}]},
    ]


async def test_pictures_come_before_their_question(simulator: GeminiSimulator, client: AsyncBaseTransport) -> None:
    pictures = (Picture("image/png", b"\x89PNG"), Picture("image/webp", b"RIFF"))
    request = ChatRequest("tokens-1-0", (Turn("user", "", pictures[:1]), Turn("user", "Which?", pictures[1:])))
    body = await sent(simulator, gemini_for(simulator.url, client), request)
    assert body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"inlineData": {"mimeType": "image/webp", "data": "UklGRg=="}},
        {"text": "Which?"},
    ]


async def test_a_picture_that_moves_is_refused_before_anybody_is_asked(
    simulator: GeminiSimulator, client: AsyncBaseTransport
) -> None:
    request = ChatRequest("demo", (Turn("user", "Which?", (Picture("image/gif", b"GIF89a"),)),))
    with pytest.raises(UpstreamError) as failure:
        await read(gemini_for(simulator.url, client), request)
    assert failure.value.error_code is ErrorCode.UPSTREAM_REJECTED
    assert failure.value.details == {"provider": "gemini", "cause": Cause.PICTURES}
    assert not simulator.connections


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-x", b"/v1/models/gemini-x:"),
        ("models/gemini-x", b"/v1/models/gemini-x:"),
        ("tunedModels/mine-7", b"/v1/tunedModels/mine-7:"),
        ("../a?b#c/d é", b"/v1/models/..%2Fa%3Fb%23c%2Fd%20%C3%A9:"),
    ],
)
async def test_the_model_stands_in_the_path_and_the_key_in_no_address(
    client: AsyncBaseTransport, model: str, path: bytes
) -> None:
    async with RawUpstream(STREAM_HEAD, chunk("Hi", "STOP")) as upstream:
        await read(gemini_for(upstream.url, client), question(model))
    first, _, headers = upstream.requests[0].partition(b"\r\n")
    assert first == b"POST " + path + b"streamGenerateContent?alt=sse HTTP/1.1"
    assert b"x-goog-api-key: " + API_KEY.encode() in headers.lower()


async def test_a_question_without_alt_sse_would_get_no_events(
    simulator: GeminiSimulator, client: AsyncBaseTransport
) -> None:
    provider = gemini_for(simulator.url, client)
    url = provider.url(question("tokens-2-0"))
    async with httpx.AsyncClient() as direct:
        response = await direct.post(
            str(url).partition("?")[0], json=provider.body(question("x")), headers={"x-goog-api-key": API_KEY}
        )
    failure = await fail(client, response.content)
    assert failure.error_code is ErrorCode.UPSTREAM_PROTOCOL


# The simulator is as strict as what it stands for


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"contents": []}, "not specified"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    ({"contents": [{"role": "user", "parts": [{}]}]}, "required oneof"),
    ({"contents": [{"role": "model", "parts": [{"text": "x"}]}]}, "end with a user role"),
    ({"generationConfig": {"temperature": 2.1}}, "temperature"),
    ({"generationConfig": {"max_tokens": 9}}, "max_tokens"),
    ({"user": "u1"}, "user"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
async def test_the_simulator_refuses_what_the_real_one_refuses(
    simulator: GeminiSimulator, change: dict[str, Any], words: str
) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}], **change}
    url = f"{simulator.url}/models/tokens-1-0:streamGenerateContent?alt=sse"
    async with httpx.AsyncClient() as direct:
        response = await direct.post(url, json=body, headers={"x-goog-api-key": API_KEY})
    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert words in response.json()["error"]["message"]


async def test_a_usual_key_brings_it() -> None:
    registry = Registry.from_environment({"GEMINI_API_KEY": "k"})
    try:
        assert [(one.id, one.kind) for one in registry.providers.values()] == [("gemini", "gemini")]
        assert registry.state("gemini") == "ready"
    finally:
        await registry.aclose()
