"""Upstreams as real servers on a free port, and the real adapters that talk to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.events import Finish, ProviderEvent, Reasoning, Text, Usage
from chat.providers.base import ChatRequest, Model, Profile, Provider, Timeouts, Turn
from chat.providers.http import HttptoolsTransport
from chat.providers.openai_chat import OpenAIChat
from chat.providers.spark import Spark
from chat.simulators.base import Simulator
from chat.simulators.spark import SparkSimulator
from tests.providers.certificate import certificate, server_tls
from tests.upstreams.rig import UpstreamRig, main_of
from tests.upstreams.rigs import RIGS

__all__ = ["certificate", "server_tls"]

API_KEY = "key-of-the-tests"
API_SECRET = "secret-of-the-tests"
TIMEOUTS = Timeouts(connect=2.0, first_token=10.0, idle=10.0, total=20.0)
MODELS = (Model("demo", "Demo"),)


@dataclass
class Reply:
    """What one stream said, up to its end or its failure."""

    events: list[ProviderEvent] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event.delta for event in self.events if isinstance(event, Text))

    @property
    def reasoning(self) -> str:
        return "".join(event.delta for event in self.events if isinstance(event, Reasoning))

    @property
    def usage(self) -> Usage | None:
        return next((event for event in reversed(self.events) if isinstance(event, Usage)), None)

    @property
    def finishes(self) -> list[Finish]:
        return [event for event in self.events if isinstance(event, Finish)]


def question(model: str, text: str = "How are you?") -> ChatRequest:
    return ChatRequest(model, (Turn("user", text),), user="u" * 32)


async def read(provider: Provider, request: ChatRequest, reply: Reply | None = None) -> Reply:
    """Reads the stream to its end; a `reply` handed in keeps what came before a failure."""
    reply = reply if reply is not None else Reply()
    await provider.stream(request, reply.events.extend)
    return reply


async def sent(simulator: Simulator, provider: Provider, request: ChatRequest) -> dict[str, Any]:
    """What a request became, which the simulator has taken."""
    await read(provider, request)
    return simulator.connections[-1].request


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits for what happens on the other side of a socket."""
    for _turn in range(round(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def spark_for(
    url: str, *, id: str = "spark", secret: str = API_SECRET, retries: int = 0, fallback: tuple[str, ...] = ()
) -> Spark:
    return Spark(
        Profile(id, "Spark", MODELS, TIMEOUTS, retries, fallback),
        base_url=url,
        app_id="a1b2c3d4",
        api_key=API_KEY,
        api_secret=secret,
    )


def openai_for(url: str, client: AsyncBaseTransport, *, api_key: str = API_KEY) -> OpenAIChat:
    return OpenAIChat(Profile("openai", "OpenAI", MODELS, TIMEOUTS, 0), base_url=url, api_key=api_key, http=client)


@pytest.fixture
async def client() -> AsyncIterator[AsyncBaseTransport]:
    async with HttptoolsTransport() as client:
        yield client


@pytest.fixture
async def spark_simulator() -> AsyncIterator[SparkSimulator]:
    simulator = SparkSimulator(API_KEY, API_SECRET)
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def other_simulator() -> AsyncIterator[SparkSimulator]:
    simulator = SparkSimulator(API_KEY, API_SECRET)
    await simulator.start()
    yield simulator
    await simulator.aclose()


@dataclass
class Rig:
    """A simulator that runs, and the provider that speaks to it."""

    upstream: UpstreamRig
    simulator: Simulator
    provider: Provider


@pytest.fixture(params=RIGS.values(), ids=RIGS.keys())
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    upstream: UpstreamRig = request.param
    simulator = upstream.simulator()
    await simulator.start()
    registry = upstream.registry(simulator.url)
    yield Rig(upstream, simulator, main_of(registry))
    await registry.aclose()
    await simulator.aclose()
