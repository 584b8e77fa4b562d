"""How the upstreams are doing at one moment, for those who observe."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from chat.observation import UpstreamSample
from chat.providers.base import Provider
from chat.providers.registry import Registry
from chat.providers.resilience.reply_cache import ReplyCache


def sampled(registry: Registry, cache: ReplyCache | None) -> Mapping[str, UpstreamSample]:
    """By provider, of all that are declared."""
    now = asyncio.get_running_loop().time()
    return {provider.id: _one(registry, cache, provider, now) for provider in registry.providers.values()}


def _one(registry: Registry, cache: ReplyCache | None, provider: Provider, now: float) -> UpstreamSample:
    admission = registry.admission(provider.id)
    return UpstreamSample(
        {model: breaker.state.value for model, breaker in registry.breakers(provider.id).items()},
        0 if admission is None else admission.waiting,
        0 if admission is None else admission.refused,
        provider.resting(now),
        0 if cache is None else cache.hits[provider.id],
        0 if cache is None else cache.misses[provider.id],
    )
