"""The upstreams that this server knows: from a providers file, or from the keys in the environment."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, get_args

from chat.errors import InvalidRequest
from chat.providers import key_sets, kind_keys, providers_file
from chat.providers.agno import Agno
from chat.providers.anthropic import Anthropic
from chat.providers.baidu_agents import BaiduAgents
from chat.providers.base import Model, Provider
from chat.providers.dashscope import DashScope
from chat.providers.declaration import Declaration
from chat.providers.gemini import Gemini
from chat.providers.http import HttptoolsTransport
from chat.providers.near_word import did_you_mean
from chat.providers.ollama import Ollama
from chat.providers.openai_chat import OpenAIChat
from chat.providers.openai_responses import OpenAIResponses
from chat.providers.providers_file import COMMON_KEYS, SECRET_KEYS, ProvidersFileError
from chat.providers.qianfan_v1 import QianfanV1
from chat.providers.request_paths import added_already
from chat.providers.resilience.admission import Admission
from chat.providers.resilience.breaker import Breaker, BreakerState
from chat.providers.resilience.key_rotation import KeyRotation
from chat.providers.spark import Spark
from chat.providers.usual import usual_declarations
from chat.providers.websocket_json import WebSocketJSON

State = Literal["ready", "degraded", "off"]

KINDS: Mapping[str, Callable[..., Provider]] = {
    "anthropic": Anthropic,
    "gemini": Gemini,
    "openai_chat": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "spark": Spark,
    "baidu_agents": BaiduAgents,
    "qianfan_v1": QianfanV1,
    "dashscope": DashScope,
    "ollama": Ollama,
    "websocket_json": WebSocketJSON,
    "agno": Agno,
}
"""A new kind of upstream is one file with its adapter, and one line here: the keyword arguments of its constructor are
the keys of its table, `http` apart, which is the HTTP transport that all share."""

SWITCHED_OFF = "it was switched off"

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
        self._left_out: dict[str, Mapping[int, str]] = {}
        self._switched_off: set[str] = set()
        self._breakers: dict[str, dict[str, Breaker]] = {}
        self._admissions: dict[str, Admission] = {}
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
        if self._is_off(provider) or provider not in self.providers:
            return "off"
        return "ready" if all(map(_is_closed, self.breakers(provider).values())) else "degraded"

    def is_ready(self, provider: str, model: str) -> bool:
        """Whether this model answers, as far as is known; another of the provider's may not."""
        return self.state(provider) != "off" and _is_closed(self.breaker(provider, model))

    def breaker(self, provider: str, model: str) -> Breaker:
        """How it has been doing. `model` is one of `provider`'s, `provider` one of `providers`."""
        breakers = self._breakers.setdefault(provider, {})
        breaker = breakers.get(model)
        if breaker is None:
            breaker = breakers[model] = Breaker()
        return breaker

    def breakers(self, provider: str) -> Mapping[str, Breaker]:
        """By model; those that have not been asked yet may be missing."""
        return self._breakers.get(provider, {})

    def admission(self, provider: str) -> Admission | None:
        """None where any number may be asked at a time."""
        return self._admissions.get(provider)

    def why_off(self, provider: str) -> str | None:
        """For the operator; holds no secret."""
        return self.missing_key(provider) or (SWITCHED_OFF if provider in self._switched_off else None)

    def missing_key(self, provider: str) -> str | None:
        """Which key is missing, and where it was looked for."""
        return self._off.get(provider)

    def keys_left_out(self, provider: str) -> Mapping[int, str]:
        """The same of each that it goes without, by its number from 1 on; it has others."""
        return self._left_out[provider]

    def switch(self, provider: str, on: bool) -> None:
        """Off, it is neither chosen nor a fallback, and who waits for it goes elsewhere; what it is answering goes on.
        On again, it still wants its keys."""
        if on:
            self._switched_off.discard(provider)
        else:
            self._switched_off.add(provider)

    def is_switched_off(self, provider: str) -> bool:
        return provider in self._switched_off

    def declaration(self, provider: str) -> Declaration:
        """As it was declared. `provider` is one of `providers`."""
        return self._declared[provider]

    def choose(self, provider: str | None, model: str | None) -> tuple[Provider, Model]:
        """What was asked for; a model alone finds its provider; nothing gets the default: the first that is ready, or
        else the first that is degraded. Raises UnknownModel."""
        if provider is not None:
            known = self.providers.get(provider)
            if known is None:
                raise _unknown(NO_PROVIDER, "provider", provider)
            if self._is_off(provider):
                raise _unknown(PROVIDER_AWAY, "provider", provider)
            return known, _model_of(known, model)
        ready = [known for known in self.providers.values() if not self._is_off(known.id)]
        ready.sort(key=lambda known: self.state(known.id) != "ready")  # stable: the order of the file stays
        if model is not None:
            for known in ready:
                if any(item.id == model for item in known.models):
                    return known, _model_of(known, model)
            has_model = any(item.id == model for known in self.providers.values() for item in known.models)
            raise _unknown(PROVIDER_AWAY if has_model else NO_MODEL, "model", model)
        if not ready:
            raise _unknown(MODELS_AWAY, "model", None)
        return ready[0], ready[0].models[0]

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]:
        """The chain behind a provider, each with its first model."""
        for name in provider.fallback:
            if name in self.providers and not self._is_off(name):
                yield self.providers[name], self.providers[name].models[0]

    def _is_off(self, provider: str) -> bool:
        return provider in self._off or provider in self._switched_off

    async def aclose(self) -> None:
        for provider in self.providers.values():
            await provider.aclose()
        await self._http.aclose()

    def _build(self, declaration: Declaration, environment: Mapping[str, str], where: str) -> Provider:
        here = f"{where}: [providers.{declaration.id}]"
        if declaration.kind not in KINDS:
            raise ProvidersFileError(f"{here} kind {declaration.kind!r} is not one of {', '.join(KINDS)}.")
        adapter = KINDS[declaration.kind]
        own = kind_keys.own_keys(adapter)
        given = declaration.options.keys() | declaration.secrets.keys()
        unknown = given - own.keys()
        if unknown:
            raise ProvidersFileError(
                f"{here} {min(unknown)} is not a key of kind {declaration.kind!r}."
                f"{did_you_mean(min(unknown), COMMON_KEYS | own.keys())} There are {', '.join(sorted(own))}, "
                f"and of every kind {', '.join(sorted(COMMON_KEYS))}."
            )
        if added := added_already(declaration.kind, declaration.base_url):
            raise ProvidersFileError(
                f"{here} base_url must end before {added}: kind {declaration.kind!r} adds that by itself."
            )
        for name in sorted(own.keys() - given):
            if own[name].default is inspect.Parameter.empty:
                what = 'give "env:NAME", "file:PATH" or "none"' if name in SECRET_KEYS else "it has no default"
                raise ProvidersFileError(f"{here} {name} is missing: {what}.")
        options = {}
        for name, value in declaration.options.items():
            try:
                options[name] = kind_keys.converted(name, value, own[name])
            except kind_keys.UnusableValue as error:
                raise ProvidersFileError(f"{here} {error}.") from None
        if "http" in inspect.signature(adapter).parameters:
            options["http"] = self._http
        keys = key_sets.read(declaration, environment)
        self._left_out[declaration.id] = keys.left_out
        if keys.missing is not None:
            self._off[declaration.id] = keys.missing
        for key in keys.sets:
            for name, value in key.items():
                if value is None and type(None) not in get_args(own[name].annotation):
                    raise ProvidersFileError(
                        f'{here} {name} cannot be "none" for kind {declaration.kind!r}: give "env:NAME" or "file:PATH".'
                    )
        profile = declaration.profile
        if profile.concurrency is not None:
            self._admissions[profile.id] = Admission(profile.concurrency, profile.queue)
        adapters = [adapter(profile, base_url=declaration.base_url, **options, **key) for key in keys.sets]
        # The other way round is right: vendors write https:// for their WebSockets too.
        if adapters[0].upstream != "websocket" and declaration.base_url.lower().startswith(("ws://", "wss://")):
            raise ProvidersFileError(
                f"{here} base_url must begin with https:// or http://: kind {declaration.kind!r} speaks no WebSocket."
            )
        return adapters[0] if len(adapters) == 1 else KeyRotation(adapters[0].profile, adapters)


def _is_closed(breaker: Breaker) -> bool:
    return breaker.state is BreakerState.CLOSED


def _model_of(provider: Provider, model: str | None) -> Model:
    if model is None:
        return provider.models[0]
    for known in provider.models:
        if known.id == model:
            return known
    raise _unknown(NOT_ITS_MODEL, "model", model)


def _unknown(words: str, field: str, value: str | None) -> UnknownModel:
    return UnknownModel(words, {"field": field, "value": value})
