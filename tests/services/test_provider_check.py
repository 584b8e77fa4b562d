"""One check: what it tells of an answer, and its sentence for each way to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers import qianfan_codes
from chat.providers.base import Model, Profile, Timeouts
from chat.providers.declaration import Declaration, Secret
from chat.providers.registry import Registry
from chat.services import provider_check
from chat.services.printable import first_words, printable
from chat.services.provider_check import ENOUGH_PIECES, HELD_BACK_SECONDS, PIECES, Checked, check_all
from chat.services.provider_failure_words import Asked, sentence
from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.providers.conftest import until
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream

SHORT = Timeouts(connect=2.0, first_token=0.5, idle=0.5, total=10.0)
LONG = Timeouts(connect=2.0, first_token=20.0, idle=20.0, total=30.0)


def declaration(url: str, *models: str, timeouts: Timeouts = SHORT, source: str = "env:KEY") -> Declaration:
    profile = Profile("one", "One", tuple(Model(model, model) for model in models), timeouts)
    secrets = {"api_key": (Secret(source, "key" if source != "none" else None),)}
    return Declaration("openai_chat", profile, url, secrets)


async def checked(url: str, *models: str, timeouts: Timeouts = SHORT) -> list[Checked]:
    registry = Registry([declaration(url, *models, timeouts=timeouts)], {})
    provider = registry.providers["one"]
    try:
        return await check_all(registry, [(provider, model) for model in provider.models])
    finally:
        await registry.aclose()


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator()
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("429", "too many requests of this key"),
        ("500", "trouble of its own (500)"),
        ("error-frame", "trouble of its own:"),
        ("filtered", "declines what was said"),
        ("400", "longer than “fault-400” takes"),
        ("silence", "says nothing within 0.5 s"),
        ("stall", "fell silent for 0.5 s"),
        ("refuse", "broke off the connection"),
        ("cut", "broke off the connection"),
        ("garbage", "no whole stream of kind “openai_chat”"),
        ("no-end-mark", "no whole stream of kind “openai_chat”"),
        ("empty", "without a word"),
    ],
)
async def test_each_fault_has_its_sentence(upstream: OpenAIChatSimulator, fault: str, words: str) -> None:
    (one,) = await checked(upstream.url, f"fault-{fault}")
    assert not one.ok
    assert words in one.failure
    assert one.failure.endswith(".")
    assert upstream.requests[f"fault-{fault}"] == 1, "a check is one attempt: a second would hide the first's failure"


async def test_many_are_checked_at_the_same_time_and_told_in_their_order(upstream: OpenAIChatSimulator) -> None:
    models = [f"tokens-{number}-0" for number in range(1, 21)]
    found = await checked(upstream.url, *models)
    assert [one.model for one in found] == models
    assert [one.usage.output_tokens if one.usage else None for one in found] == list(range(1, 21))
    assert all(one.ok and one.hint == "" for one in found)


async def test_an_answer_that_was_held_back_on_the_way_is_told_of() -> None:
    chunk = b'data: {"choices":[{"delta":{"content":"word "}}]}\n\n'
    last = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(HELD_BACK_SECONDS + 0.2)
        writer.write(STREAM_HEAD + chunk * PIECES + last)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_late, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (one,) = await checked(f"http://127.0.0.1:{port}/v1", "m", timeouts=LONG)
    assert one.ok
    assert "holds streams back" in one.hint


async def test_a_page_of_a_website_is_no_api() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Welcome</html>"
    moved = b"HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for answer, words in ((page, "no whole stream"), (moved, "no API at /v1/chat/completions (301)")):
        async with RawUpstream(answer) as raw:
            (one,) = await checked(raw.url.replace("localhost", "127.0.0.1"), "m")
        assert words in one.failure


async def test_what_an_upstream_says_stays_out_of_the_sentence() -> None:
    body = json.dumps({"error": {"message": "SECRET-OF-THEIRS", "code": "invalid_api_key"}}).encode()
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    async with RawUpstream(head.encode() + body) as raw:
        (one,) = await checked(raw.url.replace("localhost", "127.0.0.1"), "m")
    assert "does not accept the key (401): see api_key (env:KEY)." in one.failure
    assert "SECRET-OF-THEIRS" not in repr(one)


# Sentences for what no simulator does


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UpstreamError(ErrorCode.UPSTREAM_AUTH, details={"cause": Cause.QUOTA}), "The quota or the credit at"),
        (UpstreamError(ErrorCode.UPSTREAM_AUTH), "does not accept the key: see api_key (env:KEY)."),
        (UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, retry_after=17.0), "wait 17 s"),
        (UpstreamError(ErrorCode.UPSTREAM_TIMEOUT), "accepts no connection within 2 s"),
        (UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details={"timeout": "total"}), "was not done after 10 s"),
        (UpstreamError(ErrorCode.UPSTREAM_AUTH, details={"cause": Cause.CLOCK}), "the date of our signature"),
        (UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"cause": Cause.PICTURES}), "a model with vision"),
        (UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"cause": Cause.PARAMETERS}), "refuses a parameter"),
        (UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"upstream_code": 10907}), "refuses the request (10907)"),
        (UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details={"cause": Cause.ADDRESS, "connection": "tls"}),
         "no certificate that this machine trusts"),
        (UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details={"cause": Cause.ADDRESS, "connection": "failed"}),
         "cannot be reached"),
        (UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"cause": Cause.ADDRESS}),
         "has no API at /v1/chat/completions:"),
        (UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details={"cause": Cause.ADDRESS, "connection": "no_tls"}),
         "speaks no TLS: let base_url begin with http://"),
        (UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details={"connection": "died"}), "broke off the connection"),
        (UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE), "has trouble of its own:"),
        (UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"cause": Cause.MODEL}), "knows no model “m”: correct"),
        (UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"cause": Cause.MODEL, "status": 404}),
         "knows no model “m”, or nothing at /v1/chat/completions (404): correct models or base_url"),
        (UpstreamError(ErrorCode.GENERATION_ERROR), "on our side"),
    ],
)  # fmt: skip
def test_each_error_has_its_sentence(error: UpstreamError, words: str) -> None:
    assert words in sentence(Asked(declaration("https://api.example.com/v1", "m"), "m"), error)


def test_qianfans_first_interface_does_not_tell_a_model_from_a_path() -> None:
    asked = Asked(replace(declaration("https://aip.example.com", "m"), kind="qianfan_v1"), "m")
    words = sentence(asked, qianfan_codes.of_code(3, provider="one"))
    assert "knows no model “m”, or nothing at /rpc/2.0/ai_custom/v1/wenxinworkshop/chat (3)" in words


async def test_an_address_with_tls_where_none_is_spoken_is_told_so(upstream: OpenAIChatSimulator) -> None:
    (one,) = await checked(upstream.url.replace("http://", "https://"), "tokens-3-0")
    assert "speaks no TLS: let base_url begin with http://" in one.failure


async def test_a_long_answer_is_not_waited_for(upstream: OpenAIChatSimulator) -> None:
    (one,) = await checked(upstream.url, "tokens-6000-20", timeouts=LONG)
    assert one.ok
    assert one.finish_reason == "not waited for"
    assert one.words.startswith("t000001 t000002")
    await until(lambda: upstream.open_connections == 0)
    assert ENOUGH_PIECES <= upstream.connections[-1].tokens_sent < 6000


async def test_nor_is_a_slow_one_once_it_has_begun(
    upstream: OpenAIChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_check, "MOST_SECONDS", 0.1)
    (one,) = await checked(upstream.url, "tokens-100-1", timeouts=LONG)
    assert one.ok
    assert (one.finish_reason, one.words) == ("not waited for", "t000001")


def test_an_upstream_that_wants_a_key_where_none_is_declared_is_told_apart() -> None:
    keyless = Asked(declaration("https://api.example.com/v1", "m", source="none"), "m")
    assert "none is declared" in sentence(keyless, UpstreamError(ErrorCode.UPSTREAM_AUTH, details={"status": 401}))


# What goes to a terminal


def test_an_upstream_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2J\x07b\r\n\tc\x9b1m\x7f") == "a␛[2J␇b\n\tc�1m␡"
    assert printable("\u202eevil\u2066 \ud800") == "evil �"
    assert printable("你好, ß 🎉") == "你好, ß 🎉"


def test_first_words_are_one_line_of_so_many_characters() -> None:
    assert first_words("one\n two\tthree", 20) == "one two three"
    assert first_words("one two three", 8) == "one two…"
