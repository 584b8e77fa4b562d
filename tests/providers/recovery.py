"""One run over providers with retries and fallbacks, its deadlines looked at as the engine looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chat.errors import UpstreamError
from chat.providers.base import Model, Provider, Timeouts
from chat.providers.breaker import Breaker
from chat.providers.resilience import RecoveringSource
from chat.providers.spark import Spark
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import API_KEY, API_SECRET, Reply, question

SWEEP = 0.02
SOON = 0.3
LONG = 30.0
TOKENS = "t000001 t000002 t000003 "


class Chain:
    """The registry's part in this: fallbacks by name, a breaker each."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self._breakers = {provider.id: Breaker() for provider in providers}

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]:
        for name in provider.fallback:
            yield self._providers[name], self._providers[name].models[0]

    def breaker(self, provider: str) -> Breaker:
        return self._breakers[provider]


def provider(
    simulator: SparkSimulator,
    id: str = "main",
    model: str = "tokens-3-0",
    *,
    retries: int = 2,
    fallback: tuple[str, ...] = (),
    first_token: float = LONG,
    idle: float = LONG,
    total: float = LONG,
) -> Spark:
    return Spark(
        id,
        id,
        (Model(model, model),),
        Timeouts(2.0, first_token, idle, total),
        retries,
        fallback,
        base_url=simulator.url,
        app_id="a1b2c3d4",
        api_key=API_KEY,
        api_secret=API_SECRET,
    )


def source_of(chain: Chain, main: Provider) -> RecoveringSource:
    return RecoveringSource(chain, main, main.models[0], question(main.models[0].id))


async def run(source: RecoveringSource, reply: Reply) -> None:
    """What the engine does: one task reads, another looks at the deadlines."""
    loop = asyncio.get_running_loop()

    async def sweep() -> None:
        while True:
            source.watch.check(loop.time())
            await asyncio.sleep(SWEEP)

    sweeping = asyncio.create_task(sweep())
    try:
        await source.stream(reply.events.extend)
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def failure_of(source: RecoveringSource, reply: Reply | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as failure:
        await run(source, reply or Reply())
    return failure.value
