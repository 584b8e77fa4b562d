"""Secrets, and which provider a request gets."""

from __future__ import annotations

import inspect
import logging
from contextlib import aclosing
from pathlib import Path

import pytest

from chat.errors import ErrorCode, InvalidRequest
from chat.events import Text
from chat.providers.base import Provider
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import KINDS, Registry, UnknownModel
from chat.providers.resilience.breaker import COOL_DOWN, FAILURES
from chat.providers.usual import usual_declarations
from chat.simulators.demonstration import Demonstration
from tests.providers.conftest import question
from tests.providers.registries import KEYS, ONE, WHOLE, registry_of
from tests.providers.streaming import asked

# Secrets


async def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ProvidersFileError) as mistake:
        async with registry_of(tmp_path, ONE.replace('"none"', '"sk-pasted-here"')):
            pass
    assert "api_key" in str(mistake.value)
    assert "sk-pasted-here" not in str(mistake.value)


async def test_a_secret_shows_itself_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with registry_of(tmp_path, WHOLE) as registry:
            shown = repr(registry.providers) + repr(registry) + "".join(map(repr, registry.providers.values()))
    declared = repr(usual_declarations(KEYS)) + repr([d.secrets for d in usual_declarations(KEYS)])
    assert "very-secret" not in shown + declared + caplog.text
    assert "most-secret" not in shown + declared + caplog.text


async def test_a_demonstrations_credentials_show_themselves_nowhere() -> None:
    demonstration = Demonstration()
    try:
        declarations = await demonstration.start()
        secrets = [key.value for one in declarations for keys in one.secrets.values() for key in keys]
        assert all(len(value) >= 16 for value in secrets if value and value != "demo")
        assert not any(value in repr(declarations) for value in secrets if value and value != "demo")
    finally:
        await demonstration.aclose()


async def test_a_key_from_a_file_beside_the_providers_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-a-file\n")
    async with registry_of(tmp_path, ONE.replace('"none"', '"file:key"')) as registry:
        assert registry.state("one") == "ready"


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "is not set"),
        ({"DEEPSEEK_API_KEY": " "}, "is not set"),
        ({"DEEPSEEK_API_KEY": "a\r\nX-Injected: 1"}, "characters"),
        ({"DEEPSEEK_API_KEY": "schlüssel"}, "characters"),
    ],
)
async def test_a_provider_without_a_good_key_is_listed_and_off(
    tmp_path: Path, environment: dict[str, str], why: str
) -> None:
    spark = {name: value for name, value in KEYS.items() if name.startswith("SPARK")}
    async with registry_of(tmp_path, WHOLE, environment | spark) as registry:
        assert registry.state("deepseek") == "off"
        reason = registry.why_off("deepseek")
        assert reason is not None
        assert "DEEPSEEK_API_KEY" in reason
        assert why in reason
        with pytest.raises(UnknownModel):
            registry.choose("deepseek", None)
        with pytest.raises(UnknownModel):
            registry.choose(None, "deepseek-chat")
        assert registry.choose(None, None)[0].id == "spark"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["no file", "empty", "no text"])
async def test_a_bad_key_file_puts_its_provider_off(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    async with registry_of(tmp_path, ONE.replace('"none"', '"file:key"')) as registry:
        assert registry.state("one") == "off"


# Choosing


async def test_the_choice_follows_what_is_asked_for(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        chosen = [
            (provider.id, model.id)
            for provider, model in (
                registry.choose(None, None),
                registry.choose("spark", None),
                registry.choose(None, "generalv3.5"),
                registry.choose("deepseek", "deepseek-reasoner"),
            )
        ]
    assert chosen == [
        ("deepseek", "deepseek-chat"),
        ("spark", "generalv3.5"),
        ("spark", "generalv3.5"),
        ("deepseek", "deepseek-reasoner"),
    ]


@pytest.mark.parametrize(("provider", "model"), [("nobody", None), (None, "nothing"), ("spark", "deepseek-chat")])
async def test_what_is_not_there_is_refused_with_422(tmp_path: Path, provider: str | None, model: str | None) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        with pytest.raises(UnknownModel) as refusal:
            registry.choose(provider, model)
    assert isinstance(refusal.value, InvalidRequest)
    assert (refusal.value.status, refusal.value.code) == (422, "INVALID_REQUEST")


async def test_a_provider_that_fails_everybody_is_degraded_and_no_longer_the_default(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        breaker = registry.breaker("deepseek", "deepseek-reasoner")
        for _ in range(FAILURES):
            assert registry.state("deepseek") == "ready"
            passage = breaker.enter(0.0, alone=True)
            assert passage is not None
            passage.failed(ErrorCode.UPSTREAM_UNAVAILABLE, 0.0)
        assert registry.state("deepseek") == "degraded"
        assert not registry.is_ready("deepseek", "deepseek-reasoner")
        assert registry.is_ready("deepseek", "deepseek-chat"), "each model for itself"
        assert registry.choose(None, None)[0].id == "spark"
        assert registry.choose("deepseek", None)[0].id == "deepseek"
        probe = breaker.enter(COOL_DOWN, alone=False)
        assert probe is not None
        assert registry.state("deepseek") == "degraded"
        probe.answered()
        assert registry.state("deepseek") == "ready"


async def test_the_fallback_chain_skips_what_is_off(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        chain = registry.fallbacks(registry.providers["deepseek"])
        assert [(provider.id, model.id) for provider, model in chain] == [("spark", "generalv3.5")]
    async with registry_of(tmp_path, WHOLE, {"DEEPSEEK_API_KEY": "k"}) as registry:
        assert list(registry.fallbacks(registry.providers["deepseek"])) == []


def test_every_kind_is_an_adapter_under_its_own_name() -> None:
    for name, kind in KINDS.items():
        assert inspect.isclass(kind)
        assert issubclass(kind, Provider)
        assert kind.kind == name


# For demonstration


async def test_the_demonstration_answers_over_both_upstream_transports() -> None:
    demonstration = Demonstration()
    registry = Registry(await demonstration.start(), {})
    try:
        shown = [(provider.id, provider.label, provider.upstream) for provider in registry.providers.values()]
        assert shown == [
            ("demo-sse", "Demonstration (SSE)", "sse"),
            ("demo-websocket", "Demonstration (WebSocket)", "websocket"),
        ]
        for provider in registry.providers.values():
            _provider, model = registry.choose(provider.id, None)
            said = ""
            async with aclosing(asked(provider, question(model.id, "Hi"))) as events:
                async for event in events:
                    said += event.delta if isinstance(event, Text) else ""
                    if "demonstration model" in said:
                        break
            assert said.startswith("Hello! You said:")
    finally:
        await registry.aclose()
        await demonstration.aclose()
