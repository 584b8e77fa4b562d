"""An engine over real adapters that talk to simulated upstreams over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat.engine.clock import Clock
from chat.engine.engine import Engine, EngineSettings
from chat.engine.job import Job, Source
from chat.engine.log import EventLog
from chat.engine.memory_log import MemoryLog
from chat.engine.reader import Reader
from chat.engine.readers import Readers
from chat.events import Entry, StartData, Tell
from chat.observation import Observer, Run
from chat.providers.base import ChatRequest, Model, Profile, Timeouts, Turn
from chat.providers.declaration import Declaration, Secret
from chat.providers.registry import Registry
from chat.providers.resilience.recovering_source import RecoveringSource
from chat.simulators.base import Simulator
from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.spark import SparkSimulator
from tests.engine.memory_store import MemoryStore

PATIENT = Timeouts(connect=5.0, first_token=20.0, idle=20.0, total=60.0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    for _turn in range(round(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def data_of(entry: Entry) -> Any:
    return json.loads(entry.data)


def text_of(entries: list[Entry]) -> str:
    """What a client shows that has applied these events, a snapshot among them too."""
    text = ""
    for entry in entries:
        data = data_of(entry)
        if entry.event == "snapshot":
            text = data["text"]
        elif entry.event == "message":
            text += data["delta"]
    return text


@dataclass
class Client:
    """A reader that is read on and on. `done` is its task."""

    reader: Reader
    entries: list[Entry] = field(default_factory=list)
    done: asyncio.Task[None] = field(init=False)

    @property
    def text(self) -> str:
        return text_of(self.entries)

    @property
    def last(self) -> Entry:
        return self.entries[-1]


@dataclass
class Rig:
    engine: Engine
    store: MemoryStore
    log: EventLog
    registry: Registry
    simulators: dict[str, Simulator]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _clients: list[Client] = field(default_factory=list)

    def start(
        self,
        model: str,
        *,
        provider: str = "sse",
        account: str = "somebody",
        source: Callable[[Any, Run, Tell], Source] | None = None,
    ) -> str:
        """Starts a generation, as the service does once it is committed; returns its id."""
        generation = f"g{next(self._numbers)}"
        self.store.create(generation)
        chosen = self.registry.providers[provider]

        def open_source(pace: Any, run: Run, tell: Tell) -> Source:
            request = ChatRequest(model, (Turn("user", "How are you?"),), user="u", pace=pace)
            return RecoveringSource(self.registry, chosen, Model(model, model), request, run, tell=tell)

        start = StartData(generation, "c", "m1", "m2", provider, model, chosen.upstream)
        self.engine.start(Job(start, account, 1, 12, source or open_source, lambda failure: failure.message))
        return generation

    async def follow(self, generation: str, after: int = 0) -> Client:
        """A client at that cursor, which reads until nothing follows."""
        reader = self.engine.readers.open(lambda: None)
        client = Client(reader)
        self._clients.append(client)
        assert await self.engine.follow(reader, generation, after)

        async def read() -> None:
            while not reader.ending and not reader.left:
                for delivery in await reader.read():
                    client.entries += delivery.entries
                    if delivery.last:
                        self.engine.readers.close(reader)
                        return
            self.engine.readers.close(reader)

        client.done = asyncio.create_task(read())
        return client

    async def events(self, generation: str, after: int = 0) -> list[Entry]:
        """All events behind the cursor, up to the last."""
        client = await self.follow(generation, after)
        await asyncio.wait_for(client.done, 20)
        return client.entries

    async def leave(self) -> None:
        for client in self._clients:
            client.reader.leave()
            await client.done


MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def make_rig() -> AsyncIterator[MakeRig]:
    """Engines to measure; everything is closed at the end."""
    async with AsyncExitStack() as stack:

        async def make(
            *,
            timeouts: Timeouts = PATIENT,
            retries: int = 0,
            stream_bytes: int | None = 2 << 20,
            observer: Observer | None = None,
            shared_log: EventLog | None = None,
            **settings: Any,
        ) -> Rig:
            simulators: dict[str, Simulator] = {"sse": OpenAIChatSimulator("key"), "websocket": SparkSimulator()}
            for simulator in simulators.values():
                await simulator.start()
                stack.push_async_callback(simulator.aclose)
            keys = {"api_key": (Secret("test", "key"),), "api_secret": (Secret("test", "secret"),)}
            models = (Model("demo", "Demo"),)
            registry = Registry(
                [
                    Declaration(
                        "openai_chat",
                        Profile("sse", "SSE", models, timeouts, retries),
                        simulators["sse"].url,
                        {"api_key": keys["api_key"]},
                    ),
                    Declaration(
                        "spark",
                        Profile("websocket", "WebSocket", models, timeouts, retries),
                        simulators["websocket"].url,
                        {**keys, "app_id": (Secret("test", "app"),)},
                    ),
                ],
                {},
            )
            stack.push_async_callback(registry.aclose)
            store, log = MemoryStore(), shared_log or MemoryLog(stream_bytes=stream_bytes)
            engine = Engine(
                log=log,
                clock=Clock(interval=0.02),
                readers=Readers(),
                store=store,
                settings=EngineSettings(**{"save_seconds": 0.05, **settings}),
                observer=observer or Observer(),
            )
            engine.open()
            stack.push_async_callback(engine.aclose)
            rig = Rig(engine, store, log, registry, simulators)
            stack.push_async_callback(rig.leave)
            return rig

        yield make


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return await make_rig()
