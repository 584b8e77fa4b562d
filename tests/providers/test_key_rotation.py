"""Several keys of one provider: which is used, which rests, and how they are declared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode, UpstreamError
from chat.providers.base import Model, Profile
from chat.providers.openai_chat import OpenAIChat
from chat.providers.registry import Registry
from chat.providers.resilience.key_rotation import (
    LIMITED_SECONDS,
    REFUSALS_MOST,
    REFUSED_SECONDS,
    KeyRotation,
    KeyTurns,
)
from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.script import FAULT_TEXT
from tests.providers.conftest import API_KEY, Reply, question, read

REFUSED = UpstreamError(ErrorCode.UPSTREAM_AUTH)
LIMITED = UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED)

# The policy


def test_keys_are_used_by_turns() -> None:
    keys = KeyTurns(3)
    assert [keys.order("m", 0.0) for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (REFUSED, REFUSED_SECONDS),
        (LIMITED, LIMITED_SECONDS),
        (UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, retry_after=7.0), 7.0),
    ],
)
def test_a_key_that_was_refused_rests_for_a_while(error: UpstreamError, seconds: float) -> None:
    keys = KeyTurns(2)
    assert keys.refused(0, "m", error, 100.0)
    assert keys.resting(100.0) == 1
    assert [keys.order("m", 100.0 + seconds - 0.1) for _ in range(2)] == [[1], [1]]
    assert keys.order("m", 100.0 + seconds) == [0, 1]
    assert keys.resting(100.0 + seconds) == 0


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_UNAVAILABLE, ErrorCode.UPSTREAM_REJECTED])
def test_other_failures_are_not_the_keys(code: ErrorCode) -> None:
    keys = KeyTurns(2)
    assert not keys.refused(0, "m", UpstreamError(code), 0.0)
    assert keys.resting(0.0) == 0


def test_a_key_that_is_not_accepted_rests_for_this_model_only() -> None:
    keys = KeyTurns(2)
    keys.refused(0, "dear", REFUSED, 0.0)
    assert keys.order("dear", 1.0) == [1]
    assert sorted(keys.order("cheap", 1.0)) == [0, 1]
    keys.refused(1, "dear", LIMITED, 1.0)
    assert keys.order("cheap", 2.0) == [0], "a limit is the key's, whatever it asks for"
    assert keys.resting(2.0) == 2


def test_when_all_rest_all_are_tried_and_the_one_that_rests_least_is_first() -> None:
    keys = KeyTurns(3)
    keys.refused(0, "m", REFUSED, 0.0)
    keys.refused(1, "m", LIMITED, 1.0)
    keys.refused(2, "m", LIMITED, 0.0)
    assert keys.order("m", 2.0) == [2, 1, 0]
    keys.refused(2, "m", LIMITED, 2.0)
    assert keys.order("m", 2.0) == [1, 2, 0]


def test_those_that_rest_alike_are_tried_by_turns() -> None:
    keys = KeyTurns(3)
    for key in range(3):
        keys.refused(key, "m", REFUSED, 0.0)
    assert [keys.order("m", 1.0) for _ in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_a_first_token_ends_the_rest() -> None:
    keys = KeyTurns(2)
    keys.refused(0, "m", REFUSED, 0.0)
    keys.refused(0, "m", LIMITED, 0.0)
    keys.answered(0, "m")
    assert keys.resting(1.0) == 0
    assert sorted(keys.order("m", 1.0)) == [0, 1]


def test_of_too_many_that_rest_the_first_is_forgotten() -> None:
    keys = KeyTurns(1)
    for number in range(REFUSALS_MOST + 1):
        keys.refused(0, f"m{number}", REFUSED, float(number) / REFUSALS_MOST)
    assert len(keys._refused_until) == REFUSALS_MOST
    assert (0, "m0") not in keys._refused_until


# Over a real upstream


@pytest.fixture
async def simulator() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(API_KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


def rotation(simulator: OpenAIChatSimulator, client: AsyncBaseTransport, *keys: str) -> KeyRotation:
    profile = Profile("main", "Main", (Model("demo", "Demo"),), retries=0)
    return KeyRotation(profile, [OpenAIChat(profile, base_url=simulator.url, api_key=key, http=client) for key in keys])


def resting(keys: KeyRotation) -> int:
    return keys.resting(asyncio.get_running_loop().time())


async def test_the_next_key_is_tried_within_the_same_attempt(
    simulator: OpenAIChatSimulator, client: AsyncBaseTransport
) -> None:
    keys = rotation(simulator, client, "wrong", "wrong-too", API_KEY)
    assert (await read(keys, question("tokens-3-0"))).text == "t000001 t000002 t000003 "
    assert resting(keys) == 2
    before = len(simulator.connections)
    for _ in range(3):
        await read(keys, question("tokens-3-0"))
    assert len(simulator.connections) <= before + 3, "the resting ones are left alone"
    assert (keys.kind, keys.upstream, keys.prefills, keys.personal) == ("openai_chat", "sse", False, False)


async def test_a_limit_of_one_key_is_not_the_others(simulator: OpenAIChatSimulator, client: AsyncBaseTransport) -> None:
    keys = rotation(simulator, client, API_KEY, API_KEY)
    reading = asyncio.create_task(read(keys, question("fault-429-x1")))
    await asyncio.wait([reading], timeout=0.2)
    assert simulator.requests["fault-429-x1"] == 2
    reading.cancel()
    await asyncio.wait([reading])


async def test_when_no_key_is_accepted_that_is_the_failure(
    simulator: OpenAIChatSimulator, client: AsyncBaseTransport
) -> None:
    keys = rotation(simulator, client, "wrong", "wrong-too")
    for _ in range(2):
        with pytest.raises(UpstreamError) as failure:
            await read(keys, question("tokens-3-0"))
        assert failure.value.error_code is ErrorCode.UPSTREAM_AUTH
    assert resting(keys) == 2


async def test_a_key_that_answers_rests_no_more(simulator: OpenAIChatSimulator, client: AsyncBaseTransport) -> None:
    keys = rotation(simulator, client, API_KEY, "wrong")
    now = asyncio.get_running_loop().time()
    keys._keys.refused(0, "tokens-3-0", LIMITED, now)
    keys._keys.refused(1, "tokens-3-0", REFUSED, now)
    await read(keys, question("tokens-3-0"))
    assert resting(keys) == 1


async def test_where_a_further_attempt_may_help_that_failure_is_raised(
    simulator: OpenAIChatSimulator, client: AsyncBaseTransport, caplog: pytest.LogCaptureFixture
) -> None:
    keys = rotation(simulator, client, API_KEY, "wrong")
    with pytest.raises(UpstreamError) as failure:
        await read(keys, question("fault-429"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_RATE_LIMITED
    assert "key 2 of 2" in caplog.text, "both were tried"


async def test_other_failures_are_raised_at_once(simulator: OpenAIChatSimulator, client: AsyncBaseTransport) -> None:
    keys = rotation(simulator, client, API_KEY, API_KEY)
    with pytest.raises(UpstreamError):
        await read(keys, question("fault-400"))
    assert simulator.requests["fault-400"] == 1
    reply = Reply()
    with pytest.raises(UpstreamError):
        await read(keys, question("fault-error-frame"), reply)
    assert (reply.text, simulator.requests["fault-error-frame"]) == ("".join(FAULT_TEXT), 1)
    assert resting(keys) == 0


# As they are declared

TWO = """
[providers.one]
kind = "spark"
base_url = "ws://127.0.0.1:1/v1"
app_id = "env:APP"
api_key = ["env:KEY_1", "env:KEY_2"]
api_secret = ["env:SECRET_1", "env:SECRET_2"]
models = ["m"]
"""
WHOLE = {"APP": "app", "KEY_1": "one", "KEY_2": "two", "SECRET_1": "very-secret", "SECRET_2": "most-secret"}


def registry_of(path: Path, environment: dict[str, str]) -> Registry:
    file = path / "providers.toml"
    file.write_text(TWO)
    return Registry.from_file(str(file), environment)


async def test_lists_of_secrets_are_as_many_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        registry = registry_of(tmp_path, WHOLE)
    provider = registry.providers["one"]
    assert isinstance(provider, KeyRotation)
    assert [(each._app_id, each._api_key, each._api_secret) for each in provider.adapters] == [  # type: ignore[attr-defined]
        ("app", "one", "very-secret"),
        ("app", "two", "most-secret"),
    ]
    assert registry.state("one") == "ready"
    assert not caplog.text
    await registry.aclose()


async def test_a_key_without_its_secret_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = registry_of(tmp_path, {name: value for name, value in WHOLE.items() if name != "SECRET_1"})
    assert not isinstance(registry.providers["one"], KeyRotation)
    assert registry.providers["one"]._api_key == "two"  # type: ignore[attr-defined]
    assert registry.state("one") == "ready"
    assert "SECRET_1" in caplog.text
    assert "most-secret" not in caplog.text
    await registry.aclose()


@pytest.mark.parametrize("missing", [("KEY_1", "SECRET_2"), ("APP",), tuple(WHOLE)])
async def test_without_any_whole_key_the_provider_is_off(tmp_path: Path, missing: tuple[str, ...]) -> None:
    registry = registry_of(tmp_path, {name: value for name, value in WHOLE.items() if name not in missing})
    assert registry.state("one") == "off"
    assert (registry.why_off("one") or "").startswith(("api_key: ", "app_id: "))
    await registry.aclose()
