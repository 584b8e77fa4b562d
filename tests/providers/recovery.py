"""One run over providers with retries and fallbacks, its deadlines looked at as the engine looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Note, Tell
from chat.providers.base import ChatRequest, Model, Profile, Provider, Take, Timeouts
from chat.providers.resilience.admission import Admission
from chat.providers.resilience.breaker import FAILURES, Breaker
from chat.providers.resilience.recovering_source import RecoveringSource, untold
from chat.providers.resilience.watch import Watch
from chat.providers.spark import Spark
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import API_KEY, API_SECRET, Reply, question

SWEEP = 0.02
SOON = 0.3
LONG = 30.0
TOKENS = "t000001 t000002 t000003 "
ENDLESS = "tokens-100000-50"


def fallback_note(asked_model: str) -> Note:
    """That `spare` answers in place of `main`, which was asked for this model."""
    spare = {"provider": "spare", "model": "tokens-3-0", "upstream": "websocket"}
    return Note("fallback", spare | {"asked": "main", "asked_model": asked_model, "asked_upstream": "websocket"})


class Chain:
    """The registry's part in this: fallbacks by name, a breaker for each model, an admission where there is a limit;
    and who is `off`."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self.off: set[str] = set()
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._admissions = {
            provider.id: Admission(provider.profile.concurrency, provider.profile.queue)
            for provider in providers
            if provider.profile.concurrency is not None
        }

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]:
        for name in provider.fallback:
            yield self._providers[name], self._providers[name].models[0]

    def breaker(self, provider: str, model: str) -> Breaker:
        return self._breakers.setdefault((provider, model), Breaker())

    def admission(self, provider: str) -> Admission | None:
        return self._admissions.get(provider)

    def is_switched_off(self, provider: str) -> bool:
        return provider in self.off

    def admission_of(self, provider: Provider) -> Admission:
        """`provider` has a limit."""
        return self._admissions[provider.id]

    def breaker_of(self, provider: Provider) -> Breaker:
        """Its first model's."""
        return self.breaker(provider.id, provider.models[0].id)

    def open_breaker_of(self, provider: Provider) -> Breaker:
        """Just now."""
        breaker, now = self.breaker_of(provider), asyncio.get_running_loop().time()
        for _ in range(FAILURES):
            passage = breaker.enter(now, alone=False)
            assert passage is not None
            passage.failed(ErrorCode.UPSTREAM_UNAVAILABLE, now)
        return breaker


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
    context: int | None = None,
    **profile: Any,
) -> Spark:
    models = (Model(model, model, context=context),)
    return Spark(
        Profile(id, id, models, Timeouts(2.0, first_token, idle, total), retries, fallback, **profile),
        base_url=simulator.url,
        app_id="a1b2c3d4",
        api_key=API_KEY,
        api_secret=API_SECRET,
    )


def limited(simulator: SparkSimulator, model: str = ENDLESS, **more: Any) -> Spark:
    """One at a time, and no second attempt."""
    return provider(simulator, model=model, **{"concurrency": 1, "retries": 0, **more})


def source_of(
    chain: Chain,
    main: Provider,
    request: ChatRequest | None = None,
    *,
    tell: Tell = untold,
    user: str = "u",
    resumed: bool = False,
) -> RecoveringSource:
    model = main.models[0]
    request = request or replace(question(model.id), user=user)
    return RecoveringSource(chain, main, model, request, tell=tell, resumed=resumed)


class Source(Protocol):
    @property
    def watch(self) -> Watch: ...
    async def stream(self, take: Take) -> None: ...


async def run(source: Source, reply: Reply) -> None:
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


async def failure_of(source: Source, reply: Reply | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as failure:
        await run(source, reply or Reply())
    return failure.value


Started = Callable[..., asyncio.Task[None]]


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    """Runs a source beside the test; what still runs at the end is stopped."""
    tasks: list[asyncio.Task[None]] = []

    def start(source: Source, reply: Reply | None = None) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(run(source, reply or Reply())))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
