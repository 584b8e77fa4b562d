"""The upstreams that this server knows: from a providers file, or from the keys in the environment."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from chat.errors import InvalidRequest
from chat.providers import providers_file
from chat.providers.base import Model, Provider
from chat.providers.breaker import Breaker
from chat.providers.http import HttptoolsTransport
from chat.providers.openai_chat import OpenAIChat
from chat.providers.providers_file import Declaration, MissingSecret, ProvidersFileError, Secret
from chat.providers.spark import Spark

State = Literal["ready", "degraded", "off"]

KINDS: Mapping[str, Callable[..., Provider]] = {
    "openai_chat": OpenAIChat,
    "spark": Spark,
}
"""A new kind of upstream is one file with its adapter, and one line here: the keyword arguments of its constructor are
the keys of its table, `http` apart, which is the HTTP transport that all share."""

_USUAL = (
    ("openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", ("gpt-4o-mini", "gpt-4o")),
    (
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        ("deepseek-chat", "deepseek-reasoner"),
    ),
    (
        "qwen",
        "Qwen",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        ("qwen-plus", "qwen-max"),
    ),
    ("moonshot", "Moonshot", "https://api.moonshot.cn/v1", "MOONSHOT_API_KEY", ("moonshot-v1-8k",)),
    ("glm", "GLM", "https://open.bigmodel.cn/api/paas/v4", "ZHIPUAI_API_KEY", ("glm-4-flash", "glm-4-plus")),
)


NO_PROVIDER = "There is no such provider."
PROVIDER_AWAY = "This provider is not available at the moment."
NO_MODEL = "There is no such model."
MODELS_AWAY = "No model is available at the moment."
NOT_ITS_MODEL = "This provider has no such model."
REFUSALS = (NO_PROVIDER, PROVIDER_AWAY, NO_MODEL, MODELS_AWAY, NOT_ITS_MODEL)
"""In English; whoever shows them translates them."""


class UnknownModel(InvalidRequest):
    """A provider or a model that is not there, or that is switched off."""

    status = 422


class Registry:
    """`providers` in the order of their declaration; the first one that is ready is the default."""

    def __init__(
        self, declarations: Iterable[Declaration], environment: Mapping[str, str], *, where: str = "providers"
    ) -> None:
        self._http = HttptoolsTransport()
        self._off: dict[str, str] = {}
        self._breakers: dict[str, Breaker] = {}
        self._declared = {declaration.id: declaration for declaration in declarations}
        self.providers: dict[str, Provider] = {}
        for declaration in self._declared.values():
            self.providers[declaration.id] = self._build(declaration, environment, where)

    @classmethod
    def from_file(cls, path: str, environment: Mapping[str, str] | None = None) -> Registry:
        """Raises ProvidersFileError."""
        return cls(providers_file.read(path), os.environ if environment is None else environment, where=path)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Registry:
        """What the usual keys in the environment allow; nothing where there are none."""
        environment = os.environ if environment is None else environment
        return cls(usual_declarations(environment), environment)

    def get(self, provider: str) -> Provider | None:
        return self.providers.get(provider)

    def state(self, provider: str) -> State:
        if provider in self._off or provider not in self.providers:
            return "off"
        return "degraded" if self.breaker(provider).open else "ready"

    def breaker(self, provider: str) -> Breaker:
        """How it has been doing. `provider` is one of `providers`."""
        return self._breakers.setdefault(provider, Breaker())

    def why_off(self, provider: str) -> str | None:
        """For the operator; holds no secret."""
        return self._off.get(provider)

    def choose(self, provider: str | None, model: str | None) -> tuple[Provider, Model]:
        """What was asked for; a model alone finds its provider; nothing gets the default: the first that is ready, or
        else the first that is degraded. Raises UnknownModel."""
        if provider is not None:
            known = self.providers.get(provider)
            if known is None:
                raise _unknown(NO_PROVIDER, "provider", provider)
            if provider in self._off:
                raise _unknown(PROVIDER_AWAY, "provider", provider)
            return known, _model_of(known, model)
        ready = [known for known in self.providers.values() if known.id not in self._off]
        ready.sort(key=lambda known: self.state(known.id) != "ready")  # stable: the order of the file stays
        if model is not None:
            for known in ready:
                if any(item.id == model for item in known.models):
                    return known, _model_of(known, model)
            raise _unknown(NO_MODEL, "model", model)
        if not ready:
            raise _unknown(MODELS_AWAY, "model", None)
        return ready[0], ready[0].models[0]

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]:
        """The chain behind a provider, each with its first model."""
        for name in provider.fallback:
            if name in self.providers and name not in self._off:
                yield self.providers[name], self.providers[name].models[0]

    async def aclose(self) -> None:
        for provider in self.providers.values():
            await provider.aclose()
        await self._http.aclose()

    def _build(self, declaration: Declaration, environment: Mapping[str, str], where: str) -> Provider:
        if declaration.kind not in KINDS:
            raise ProvidersFileError(
                f"{where}: [providers.{declaration.id}] kind {declaration.kind!r} is not one of {', '.join(KINDS)}."
            )
        adapter = KINDS[declaration.kind]
        own = _own_keys(adapter)
        given = declaration.options.keys() | declaration.secrets.keys()
        unknown = given - own.keys()
        if unknown:
            raise ProvidersFileError(
                f"{where}: [providers.{declaration.id}] {min(unknown)} is not a key of kind {declaration.kind!r}. "
                f"Remove it; besides the common ones there are {', '.join(sorted(own))}."
            )
        for name in sorted(own.keys() - given):
            if own[name].default is inspect.Parameter.empty:
                raise ProvidersFileError(
                    f'{where}: [providers.{declaration.id}] {name} is missing: give "env:NAME", "file:PATH" or "none".'
                )
        options: dict[str, Any] = dict(declaration.options)
        for name, value in options.items():
            words = get_args(own[name].annotation) if get_origin(own[name].annotation) is Literal else None
            if words is not None and value not in words:
                *others, last = (f'"{word}"' for word in words)
                raise ProvidersFileError(
                    f"{where}: [providers.{declaration.id}] {name} must be {', '.join(others)} or {last}."
                )
        for name, secret in declaration.secrets.items():
            try:
                options[name] = secret.read(environment)
            except MissingSecret as missing:
                self._off[declaration.id] = f"{name}: {missing}"
                options[name] = ""
            if options[name] is None and type(None) not in get_args(own[name].annotation):
                raise ProvidersFileError(
                    f'{where}: [providers.{declaration.id}] {name} cannot be "none" for kind {declaration.kind!r}: '
                    'give "env:NAME" or "file:PATH".'
                )
        if "http" in inspect.signature(adapter).parameters:
            options["http"] = self._http
        return adapter(
            declaration.id,
            declaration.label,
            declaration.models,
            declaration.timeouts,
            declaration.retries,
            declaration.fallback,
            base_url=declaration.base_url,
            **options,
        )


def _own_keys(adapter: Callable[..., Provider]) -> dict[str, inspect.Parameter]:
    """The keys of a kind's table that not every kind has."""
    return {
        name: parameter
        for name, parameter in inspect.signature(adapter, eval_str=True).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in ("base_url", "http")
    }


def usual_declarations(environment: Mapping[str, str]) -> list[Declaration]:
    declarations = [
        Declaration(
            name,
            "openai_chat",
            label,
            base_url,
            tuple(Model(model, model) for model in models),
            secrets={"api_key": Secret(f"env:{key}")},
        )
        for name, label, base_url, key, models in _USUAL
        if environment.get(key)
    ]
    spark = ("SPARK_APP_ID", "SPARK_API_KEY", "SPARK_API_SECRET")
    if all(environment.get(key) for key in spark):
        declarations.append(
            Declaration(
                "spark",
                "spark",
                "Spark",
                "wss://spark-api.xf-yun.com/v3.5/chat",
                (Model("generalv3.5", "Spark Max"),),
                secrets={
                    name: Secret(f"env:{key}")
                    for name, key in zip(("app_id", "api_key", "api_secret"), spark, strict=True)
                },
            )
        )
    return declarations


def _model_of(provider: Provider, model: str | None) -> Model:
    if model is None:
        return provider.models[0]
    for known in provider.models:
        if known.id == model:
            return known
    raise _unknown(NOT_ITS_MODEL, "model", model)


def _unknown(words: str, field: str, value: str | None) -> UnknownModel:
    return UnknownModel(words, {"field": field, "value": value})
