"""The providers file, the keys in the environment, and which provider a request gets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from chat.errors import ErrorCode, InvalidRequest
from chat.events import Text
from chat.providers import providers_file
from chat.providers.base import Model, Provider, Timeouts
from chat.providers.breaker import FAILURES
from chat.providers.openai_chat import OpenAIChat
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import KINDS, Registry, UnknownModel, usual_declarations
from chat.providers.spark import Spark
from chat.simulators.demonstration import Demonstration
from tests.providers.conftest import question
from tests.providers.streaming import asked

WHOLE = """
[providers.deepseek]
kind     = "openai_chat"
label    = "DeepSeek"
base_url = "https://api.deepseek.com/v1"
api_key  = "env:DEEPSEEK_API_KEY"
models   = ["deepseek-chat", { id = "deepseek-reasoner", label = "Reasoner", reasoning = true, vision = false }]
fallback = ["spark"]
timeout  = { connect = 5, first_token = 12.5, idle = 31, total = 90 }
retries  = 1
stop_mark = "required"

[providers.spark]
kind     = "spark"
base_url = "wss://spark-api.xf-yun.com/v3.5/chat"
app_id   = "env:SPARK_APP_ID"
api_key  = "env:SPARK_API_KEY"
api_secret = "env:SPARK_API_SECRET"
models   = ["generalv3.5"]
"""
KEYS = {
    "DEEPSEEK_API_KEY": "sk-very-secret",
    "SPARK_APP_ID": "a1b2c3d4",
    "SPARK_API_KEY": "spark-very-secret",
    "SPARK_API_SECRET": "spark-most-secret",
}
ONE = """
[providers.one]
kind = "openai_chat"
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
models = ["m"]
"""


@asynccontextmanager
async def registry_of(path: Path, text: str, environment: Mapping[str, str] = KEYS) -> AsyncIterator[Registry]:
    file = path / "providers.toml"
    file.write_text(text)
    registry = Registry.from_file(str(file), environment)
    try:
        yield registry
    finally:
        await registry.aclose()


# The file


async def test_a_file_says_everything_about_its_providers(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        assert list(registry.providers) == ["deepseek", "spark"]
        deepseek, spark = registry.providers.values()
        assert (type(deepseek), deepseek.upstream, deepseek.label) == (OpenAIChat, "sse", "DeepSeek")
        assert deepseek.models == (
            Model("deepseek-chat", "deepseek-chat"),
            Model("deepseek-reasoner", "Reasoner", vision=False, reasoning=True),
        )
        assert (deepseek.fallback, deepseek.retries) == (("spark",), 1)
        assert deepseek.timeouts == Timeouts(5, 12.5, 31, 90)
        assert (type(spark), spark.upstream, spark.label) == (Spark, "websocket", "spark")
        assert (spark.retries, spark.timeouts) == (2, Timeouts())
        assert [registry.state(name) for name in registry.providers] == ["ready", "ready"]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('kind = "openai_chat"', 'kind = "openia"', ["one", "kind", "openia", "openai_chat"]),
        ('kind = "openai_chat"', "", ["one", "kind", "missing"]),
        ('models = ["m"]', "models = []", ["one", "models", "at least one"]),
        ('models = ["m"]', "", ["one", "models"]),
        ('models = ["m"]', 'models = ["m", "m"]', ["one", "models", "twice"]),
        ('models = ["m"]', 'models = [{ label = "x" }]', ["one", "models", "id"]),
        ('models = ["m"]', 'models = [{ id = "m", vision = "no" }]', ["one", "models", "vision"]),
        ('models = ["m"]', 'models = [{ id = "m", colour = 1 }]', ["one", "models", "colour"]),
        ('models = ["m"]', 'models = ["m"]\nfallback = ["two"]', ["one", "fallback", "two"]),
        ('models = ["m"]', 'models = ["m"]\nfallback = ["one"]', ["one", "fallback", "itself"]),
        ('models = ["m"]', 'models = ["m"]\nfallback = "two"', ["one", "fallback"]),
        ('models = ["m"]', 'models = ["m"]\nretries = -1', ["one", "retries"]),
        ('models = ["m"]', 'models = ["m"]\nretries = true', ["one", "retries"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idel = 1 }', ["one", "timeout", "idle"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idle = 0 }', ["one", "timeout.idle"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idle = nan }', ["one", "timeout.idle"]),
        ('models = ["m"]', 'models = ["m"]\nstop_mark = "maybe"', ["one", "stop_mark", "optional", "required"]),
        ('models = ["m"]', 'models = ["m"]\nbase_ulr = "x"', ["one", "base_ulr", "not a key"]),
        ('models = ["m"]', 'models = ["m"]\napp_id = "none"', ["one", "app_id", "not a key"]),
        ('api_key = "none"', "", ["one", "api_key", "env:NAME"]),
        ("http://127.0.0.1:1/v1", "127.0.0.1:1", ["one", "base_url"]),
        ("http://127.0.0.1:1/v1", "http://user:pass@h/v1", ["one", "base_url", "credentials"]),
        ("http://127.0.0.1:1/v1", "http://h:port/v1", ["one", "base_url"]),
        ("[providers.one]", "[provider.one]", ["provider", "[providers.NAME]"]),
        ("[providers.one]", "[providers.one", ["TOML"]),
    ],
)
async def test_a_mistake_is_named_with_its_file_and_its_place(
    tmp_path: Path, old: str, new: str, named: list[str]
) -> None:
    with pytest.raises(ProvidersFileError) as mistake:
        async with registry_of(tmp_path, ONE.replace(old, new)):
            pass
    for word in ["providers.toml", *named]:
        assert word in str(mistake.value)


async def test_a_spark_without_a_key_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ProvidersFileError, match="api_secret"):
        async with registry_of(tmp_path, WHOLE.replace("env:SPARK_API_SECRET", "none")):
            pass


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvidersFileError, match=r"nowhere\.toml"):
        providers_file.read(tmp_path / "nowhere.toml")


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(ProvidersFileError, match="no provider"):
        providers_file.read(tmp_path / "empty.toml")


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
        secrets = [secret.value for declaration in declarations for secret in declaration.secrets.values()]
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
        for _ in range(FAILURES):
            assert registry.state("deepseek") == "ready"
            registry.breaker("deepseek").failed(ErrorCode.UPSTREAM_UNAVAILABLE, 0.0)
        assert registry.state("deepseek") == "degraded"
        assert registry.choose(None, None)[0].id == "spark"
        assert registry.choose("deepseek", None)[0].id == "deepseek"
        registry.breaker("deepseek").answered()
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


# Without a file


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        ("OPENAI_API_KEY", "openai"),
        ("DEEPSEEK_API_KEY", "deepseek"),
        ("DASHSCOPE_API_KEY", "qwen"),
        ("MOONSHOT_API_KEY", "moonshot"),
        ("ZHIPUAI_API_KEY", "glm"),
    ],
)
async def test_a_usual_key_in_the_environment_brings_its_provider(key: str, provider: str) -> None:
    registry = Registry.from_environment({key: "k"})
    try:
        assert list(registry.providers) == [provider]
        assert registry.state(provider) == "ready"
        assert registry.choose(None, None)[0].id == provider
    finally:
        await registry.aclose()


def test_spark_wants_all_three_of_its_keys() -> None:
    assert [d.id for d in usual_declarations({k: v for k, v in KEYS.items() if k.startswith("SPARK")})] == ["spark"]
    assert usual_declarations({"SPARK_APP_ID": "a", "SPARK_API_KEY": "b"}) == []


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
