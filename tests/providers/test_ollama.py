"""Ollama's own interface: what its table may say, how it is asked to go on, and how its replies end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Usage
from chat.providers.base import ChatRequest, Params, Profile, Provider, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.ollama import Ollama
from chat.providers.providers_file import ProvidersFileError
from chat.providers.usual import usual_declarations
from chat.simulators.script import FAULT_TEXT
from tests.providers.conftest import MODELS, TIMEOUTS, Reply, question, read
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.ollama import RIG, OllamaSimulator
from tests.upstreams.rig import main_of

WORDS = "".join(FAULT_TEXT)
OPEN = (Turn("user", "How are you?"), Turn("assistant", "Some words "))


@pytest.fixture
async def simulator() -> AsyncIterator[OllamaSimulator]:
    simulator = OllamaSimulator()
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def provider_with(simulator: OllamaSimulator) -> AsyncIterator[Callable[..., Provider]]:
    """A provider whose table says this too."""
    async with AsyncExitStack() as stack:

        def build(path: str = "", **keys: Any) -> Provider:
            registry = RIG.registry(simulator.url + path, **keys)
            stack.push_async_callback(registry.aclose)
            return main_of(registry)

        yield build


def sent(simulator: OllamaSimulator) -> dict[str, Any]:
    return simulator.connections[-1].request


# What is asked


async def test_nothing_is_sent_that_nobody_has_said(
    simulator: OllamaSimulator, provider_with: Callable[..., Provider]
) -> None:
    await read(provider_with(), question("tokens-1-0"))
    assert sent(simulator) == {
        "model": "tokens-1-0", "messages": [{"role": "user", "content": "How are you?"}], "stream": True
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/api", "/api/"])
async def test_the_address_may_be_written_as_its_documents_do(
    provider_with: Callable[..., Provider], path: str
) -> None:
    assert (await read(provider_with(path), question("tokens-1-0"))).text == "t000001 "


async def test_without_a_key_none_is_sent(client: AsyncBaseTransport) -> None:
    async with RawUpstream(STREAM_HEAD + b'{"done":true}\n') as upstream:
        provider = Ollama(Profile("raw", "Raw", MODELS, TIMEOUTS), base_url=upstream.url, http=client)
        await read(provider, question("demo"))
    assert b"authorization" not in upstream.requests[0].lower()


async def test_what_the_table_says_of_the_context_stands_beside_what_the_request_says(
    simulator: OllamaSimulator, provider_with: Callable[..., Provider]
) -> None:
    provider = provider_with(num_ctx=8192, think="low", keep_alive=-1)
    await read(provider, ChatRequest("tokens-1-0", (Turn("user", "Hi"),), Params(temperature=0.5)))
    assert sent(simulator)["options"] == {"num_ctx": 8192, "temperature": 0.5}
    assert (sent(simulator)["think"], sent(simulator)["keep_alive"]) == ("low", -1)


@pytest.mark.parametrize(
    "keys", [{"num_ctx": 0}, {"num_ctx": "much"}, {"think": "deeply"}, {"keep_alive": ["1h"]}, {"prefill": "yes"}]
)
async def test_what_a_table_cannot_say_is_refused_with_its_key(
    provider_with: Callable[..., Provider], keys: dict[str, Any]
) -> None:
    with pytest.raises(ProvidersFileError, match=next(iter(keys))):
        provider_with(**keys)


# An unfinished answer


async def test_an_unfinished_answer_is_followed_by_the_request_to_go_on(
    simulator: OllamaSimulator, provider_with: Callable[..., Provider]
) -> None:
    provider = provider_with()
    assert not provider.prefills
    await read(provider, ChatRequest("reasons", OPEN))
    assert sent(simulator)["messages"][1:] == [
        {"role": "assistant", "content": "Some words "}, {"role": "user", "content": CONTINUE}
    ]  # fmt: skip


async def test_where_the_models_leave_it_open_the_answer_goes_on_from_there(
    provider_with: Callable[..., Provider],
) -> None:
    provider = provider_with(prefill=True)
    assert provider.prefills
    assert (await read(provider, ChatRequest("reasons", OPEN))).text == WORDS.removeprefix("Some words ")


# Ends


async def test_as_many_tokens_as_were_asked_for_are_a_length(provider_with: Callable[..., Provider]) -> None:
    asked = ChatRequest("tokens-9-0", (Turn("user", "Hi"),), Params(max_tokens=2))
    reply = await read(provider_with(), asked)
    assert (reply.text, reply.finishes) == ("t000001 t000002 ", [Finish(FinishReason.LENGTH)])
    assert reply.usage is not None
    assert reply.usage.output_tokens == 2


def line(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "created_at": "2026-03-01T09:30:00Z", **fields}).encode() + b"\n"


def says(text: str) -> bytes:
    return line(message={"role": "assistant", "content": text}, done=False)


async def play(client: AsyncBaseTransport, *lines: bytes, reply: Reply | None = None) -> Reply:
    async with RawUpstream(STREAM_HEAD.replace(b"text/event-stream", b"application/x-ndjson"), *lines) as upstream:
        provider = Ollama(Profile("raw", "Raw", MODELS, TIMEOUTS), base_url=upstream.url, http=client)
        return await read(provider, question("demo"), reply)


@pytest.mark.parametrize("reason", ["load", "unload"])
async def test_a_model_that_was_only_loaded_has_said_nothing_and_ended_properly(
    client: AsyncBaseTransport, reason: str
) -> None:
    reply = await play(client, line(message={"role": "assistant", "content": ""}, done=True, done_reason=reason))
    assert reply.events == [Finish(FinishReason.STOP)]


async def test_a_count_that_is_missing_does_not_take_the_other_with_it(client: AsyncBaseTransport) -> None:
    reply = await play(client, says("Hi"), line(done=True, done_reason="stop", eval_count=3))
    assert reply.usage == Usage(0, 3)


async def test_what_follows_the_end_is_not_read(client: AsyncBaseTransport) -> None:
    reply = await play(client, says("Hi"), line(done=True) + says(" again") + b"{\n")
    assert (reply.text, len(reply.finishes)) == ("Hi", 1)


@pytest.mark.parametrize("error", ["the model failed", {"message": "the model failed"}])
@pytest.mark.parametrize("before", [[], [says("Hi")]], ids=["at once", "in mid-reply"])
async def test_an_error_line_is_a_failure_of_the_upstreams_and_its_words_stay_there(
    client: AsyncBaseTransport, before: list[bytes], error: Any
) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, *before, json.dumps({"error": error}).encode() + b"\n", line(done=True), reply=reply)
    assert (failure.value.error_code, failure.value.attempt_again) == (ErrorCode.UPSTREAM_UNAVAILABLE, True)
    assert "failed" not in f"{failure.value} {failure.value.details}"
    assert (reply.text, reply.finishes) == ("Hi" if before else "", [])


# Without a file


def test_the_key_of_its_cloud_brings_it_and_the_address_of_a_server_does_not() -> None:
    (declared,) = usual_declarations({"OLLAMA_API_KEY": "k"})
    assert (declared.kind, declared.base_url) == ("ollama", "https://ollama.com")
    assert usual_declarations({"OLLAMA_HOST": "127.0.0.1:11434"}) == []
