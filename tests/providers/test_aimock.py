"""Adapters against a simulation that others wrote, over real sockets: whole, limited, cut, slow, and in chaos."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from chat.errors import ErrorCode, UpstreamError
from chat.events import FinishReason, Text
from chat.providers.base import Provider
from chat.providers.providers_file import declarations_of
from chat.providers.registry import Registry
from tests.aimock import Aimock
from tests.providers.conftest import Reply, question, read, until
from tests.upstreams.rig import TIMEOUTS

TEXT = "你好，世界! A reply that comes in many small pieces — 𠮷野家."
THOUGHT = "先想一想, then answer."
CUT_TEXT = "This stream will be cut in the middle, whoever reads it."
MANY = 40
"""Requests of a kind in half a chaos: more than chance leaves all alike."""

PATIENCE = 60.0


class Kind(NamedTuple):
    """`path` follows host and port. `reasons`, `counts`: aimock says it as the real one does."""

    path: str
    model: str
    reasons: bool = True
    counts: bool = True


KINDS = {
    "openai_chat": Kind("/v1", "o4-mini"),
    "openai_responses": Kind("/v1", "o4-mini", counts=False),
    "anthropic": Kind("/v1", "claude-sonnet-4", counts=False),
    "gemini": Kind("/v1beta", "gemini-2.5-flash", counts=False),
    "ollama": Kind("", "llama3", reasons=False, counts=False),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def registry_for(aimock: Aimock) -> Registry:
    """All kinds, by their names."""
    tables = {
        name: {
            "kind": name,
            "base_url": aimock.url + kind.path,
            "models": [kind.model],
            "api_key": "env:KEY",
            "timeout": TIMEOUTS,
        }
        for name, kind in KINDS.items()
    }
    return Registry(declarations_of({"providers": tables}, "the test"), {"KEY": "key-of-the-tests"})


class Served(NamedTuple):
    aimock: Aimock
    registry: Registry

    async def ask(self, kind: str, text: str, reply: Reply | None = None) -> Reply:
        provider: Provider = self.registry.providers[kind]
        async with asyncio.timeout(PATIENCE):
            return await read(provider, question(KINDS[kind].model, text), reply)

    async def fail(self, kind: str, text: str) -> tuple[UpstreamError, Reply]:
        reply = Reply()
        with pytest.raises(UpstreamError) as failure:
            await self.ask(kind, text, reply)
        assert reply.finishes == []
        return failure.value, reply


async def serving(directory: Path, *options: str) -> AsyncIterator[Served]:
    """At its end no connection to it stands."""
    aimock = Aimock(directory / "aimock.log", *options)
    try:
        await aimock.start()
        registry = registry_for(aimock)
        yield Served(aimock, registry)
        await registry.aclose()
        await until(lambda: aimock.open_connections() == 0)
    finally:
        aimock.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async for served in serving(tmp_path_factory.mktemp("aimock"), "--chunk-size", "3"):
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async for served in serving(tmp_path_factory.mktemp("aimock"), "--chunk-size", "1", "--latency", "10"):
        yield served


CHAOS = {
    "drop": ErrorCode.UPSTREAM_UNAVAILABLE,
    "malformed": ErrorCode.UPSTREAM_PROTOCOL,
    "disconnect": ErrorCode.UPSTREAM_UNAVAILABLE,
    "ratelimit": ErrorCode.UPSTREAM_RATE_LIMITED,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CHAOS, ids=CHAOS)
async def chaos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ErrorCode, Served]]:
    async for served in serving(tmp_path_factory.mktemp("aimock"), f"--chaos-{request.param}", "1"):
        yield CHAOS[request.param], served


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CHAOS, ids=CHAOS)
async def half_chaos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ErrorCode, Served]]:
    async for served in serving(tmp_path_factory.mktemp("aimock"), f"--chaos-{request.param}", "0.5"):
        yield CHAOS[request.param], served


pytestmark = pytest.mark.asyncio(loop_scope="module")


def check_whole(kind: str, reply: Reply) -> None:
    assert reply.text == TEXT
    assert reply.reasoning == (THOUGHT if KINDS[kind].reasons else "")
    assert [finish.reason for finish in reply.finishes] == [FinishReason.STOP]
    if KINDS[kind].counts:
        assert reply.usage is not None
        assert reply.usage.output_tokens > 0


@each_kind
async def test_text_and_reasoning_come_whole(calm: Served, kind: str) -> None:
    check_whole(kind, await calm.ask(kind, "hello"))


@each_kind
async def test_replies_at_the_same_time_come_whole(calm: Served, kind: str) -> None:
    for reply in await asyncio.gather(*(calm.ask(kind, "hello") for _ in range(MANY))):
        check_whole(kind, reply)


@each_kind
async def test_a_tool_call_is_passed_over(calm: Served, kind: str) -> None:
    reply = await calm.ask(kind, "tool")
    assert reply.text == "Let me look. "
    assert [finish.reason for finish in reply.finishes] == [FinishReason.STOP]


@each_kind
async def test_a_limit_is_told_with_its_time(calm: Served, kind: str) -> None:
    error, reply = await calm.fail(kind, "limit")
    assert (error.error_code, error.attempt_again, error.retry_after) == (ErrorCode.UPSTREAM_RATE_LIMITED, True, 1.0)
    assert reply.events == []


@each_kind
async def test_a_question_that_it_does_not_know_is_refused(calm: Served, kind: str) -> None:
    error, reply = await calm.fail(kind, "something else")
    assert error.error_code in (ErrorCode.UPSTREAM_REJECTED, ErrorCode.UPSTREAM_UNAVAILABLE)
    assert reply.events == []


@each_kind
async def test_a_stream_that_is_cut_keeps_its_beginning(slow: Served, kind: str) -> None:
    error, reply = await slow.fail(kind, "cut")
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert reply.text
    assert CUT_TEXT.startswith(reply.text)


@each_kind
async def test_a_slow_stream_of_single_characters_comes_whole(slow: Served, kind: str) -> None:
    reply = await slow.ask(kind, "hello")
    check_whole(kind, reply)
    assert len([event for event in reply.events if isinstance(event, Text)]) > len(TEXT) // 2


@each_kind
async def test_a_slow_stream_that_is_left_closes_its_connection(slow: Served, kind: str) -> None:
    reply = Reply()
    reading = asyncio.create_task(slow.ask(kind, "hello", reply))
    await until(lambda: reply.events)
    assert slow.aimock.open_connections() == 1
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert slow.aimock.open_connections() == 0


@each_kind
async def test_chaos_ends_in_its_code(chaos: tuple[ErrorCode, Served], kind: str) -> None:
    code, served = chaos
    error, reply = await served.fail(kind, "hello")
    assert error.error_code is code
    assert reply.events == []
    if code is ErrorCode.UPSTREAM_RATE_LIMITED:
        assert error.retry_after is not None


@each_kind
async def test_half_a_chaos_ends_in_its_code_or_a_whole_reply(half_chaos: tuple[ErrorCode, Served], kind: str) -> None:
    code, served = half_chaos

    async def outcome() -> ErrorCode | None:
        try:
            check_whole(kind, await served.ask(kind, "hello"))
        except UpstreamError as error:
            return error.error_code
        return None

    outcomes = Counter(await asyncio.gather(*(outcome() for _ in range(MANY))))
    assert set(outcomes) == {code, None}
