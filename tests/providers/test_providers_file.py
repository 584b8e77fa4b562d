"""The providers file: what it says, and what is said of a mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.providers import providers_file
from chat.providers.base import Model, Timeouts
from chat.providers.openai_chat import OpenAIChat
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import NO_MODEL, PROVIDER_AWAY, UnknownModel
from chat.providers.spark import Spark
from tests.providers.registries import ONE, WHOLE, registry_of


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
        ('models = ["m"]', 'models = ["m"]\nfallback = ["two", "two"]', ["one", "fallback", "two", "twice"]),
        ('models = ["m"]', 'models = ["m"]\nqueue = 5', ["one", "queue", "concurrency"]),
        ('models = ["m"]', 'models = ["m"]\nretries = -1', ["one", "retries"]),
        ('models = ["m"]', 'models = ["m"]\nretries = true', ["one", "retries"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idel = 1 }', ["one", "timeout", "idle"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idle = 0 }', ["one", "timeout.idle"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { idle = nan }', ["one", "timeout.idle"]),
        ('models = ["m"]', 'models = ["m"]\nstop_mark = "maybe"', ["one", "stop_mark", "optional", "required"]),
        ('models = ["m"]', 'models = ["m"]\nbase_ulr = "x"', ["one", "base_ulr", "not a key"]),
        ('models = ["m"]', 'models = ["m"]\napp_id = "none"', ["one", "app_id", "not a key"]),
        ('api_key = "none"', "", ["one", "api_key", "env:NAME"]),
        ('"none"', '["env:A", "env:B", "env:A"]', ["one", "api_key", "env:A", "twice"]),
        ('"none"', '["env:A", "none"]', ["one", "api_key", '"none"']),
        ('"none"', '["none", "none"]', ["one", "api_key", '"none"']),
        ("http://127.0.0.1:1/v1", "http://h/v1#part", ["one", "base_url", "fragment"]),
        ("http://127.0.0.1:1/v1", "http://h/v1#", ["one", "base_url", "fragment"]),
        ("http://127.0.0.1:1/v1", "ws://h/v1", ["one", "base_url", "http://", "WebSocket"]),
        ("http://127.0.0.1:1/v1", "WSS://h/v1", ["one", "base_url", "https://", "WebSocket"]),
        ("http://127.0.0.1:1/v1", "127.0.0.1:1", ["one", "base_url"]),
        ("http://127.0.0.1:1/v1", "http://user:pass@h/v1", ["one", "base_url", "credentials"]),
        ("http://127.0.0.1:1/v1", "http://h:port/v1", ["one", "base_url"]),
        ("/v1", "/v1/chat/completions/", ["one", "base_url", "end before /chat/completions"]),
        ("base_url", "base_ulr", ["one", "base_url is missing", "base_ulr"]),
        ("models =", "model =", ["one", "models is missing", "'model'"]),
        ('models = ["m"]', 'models = [{ id = "m", lable = "M" }]', ["lable", "Did you mean 'label'?"]),
        ('models = ["m"]', 'models = ["m"]\nbase-ulr = "x"', ["Did you mean 'base_url'?", "concurrency", "stop_mark"]),
        ("api_key", "api-key", ["api-key", "Did you mean 'api_key'?"]),
        ('models = ["m"]', 'models = ["m"]\ntimeout = { first = 1 }', ["timeout", "'first'", "first_token"]),
        ('models = ["m"]', 'models = ["m"]\nheaders = { Host = "x" }', ["headers: each of its keys must be a name of"]),
        ('models = ["m"]', 'models = ["m"]\nheaders = { X = 1 }', ["headers: each of its values must be a text of"]),
        ('models = ["m"]', 'models = ["m"]\nextra = { model = "x" }', ["extra: each of its keys", "than model, mess"]),
        ('models = ["m"]', 'models = ["m"]\nextra = 1', ["extra must be a table."]),
        ('models = ["m"]', 'models = ["m"]\nprefill = true', ['prefill must be "auto", "no"']),
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


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("anthropic", "thinking = 5", "thinking must be a whole number from 1024 on."),
        ("ollama", 'think = "much"', 'think must be true or false, "low", "medium" or "high", not ' + "'much'."),
        ("ollama", "keep_alive = []", "keep_alive must be a whole number or a text."),
        ("agno", "answer = [1]", "answer: each of its values must be a text."),
        ("agno", 'answer = "step"', "answer must be a list."),
        ("websocket_json", 'auth = "x"', 'auth must be "bearer", "none", "header:NAME", "query:NAME" or "field:PATH".'),
        (
            "websocket_json",
            "request = { rolles = 1 }",
            "request has an unknown key 'rolles'. Did you mean 'roles'? There",
        ),
        ("websocket_json", 'request = { roles = { usr = "x" } }', "request.roles: each of its keys must be"),
        (
            "websocket_json",
            'request = { messages = "..a" }',
            'request.messages must be a path such as "choices.0.text".',
        ),
        ("websocket_json", 'request = { model = "messages.x" }', "request cannot be used: "),
        ("websocket_json", 'reply = { end = { value = "x" } }', "reply.end lacks the key 'field'."),
    ],
)
async def test_a_value_that_cannot_be_used_is_told_by_what_would_be_right(
    tmp_path: Path, kind: str, line: str, words: str
) -> None:
    with pytest.raises(ProvidersFileError) as mistake:
        async with registry_of(tmp_path, f"{ONE.replace('openai_chat', kind)}{line}\n"):
            pass
    assert f"[providers.one] {words}" in str(mistake.value)
    assert "`" not in str(mistake.value), "in words of ours"


async def test_a_websocket_may_be_written_as_its_vendor_writes_it(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE.replace("wss://", "https://")) as registry:
        assert registry.providers["spark"].upstream == "websocket"


async def test_a_model_whose_only_providers_are_off_is_away_and_not_unknown(tmp_path: Path) -> None:
    async with registry_of(tmp_path, WHOLE) as registry:
        registry.switch("spark", False)
        for model, words in (("generalv3.5", PROVIDER_AWAY), ("nothing", NO_MODEL)):
            with pytest.raises(UnknownModel) as refusal:
                registry.choose(None, model)
            assert refusal.value.message == words
            assert refusal.value.details == {"field": "model", "value": model}


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
