"""A server process whose metrics are looked at, with upstreams that answer, fail, recover and hand over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import ChatServer, server_events
from tests.server_database import ServerDatabase

__all__ = ["scrape", "until", "watched"]

KEY = "test-key"
GOOD, BAD, ENDLESS, RECOVERS, SLOW = "tokens-20-100", "fault-400", "tokens-2000-50", "fault-500-x1", "fault-slow"
SILENT = "fault-silence"
LARGE = f"bytes-{5 << 20}"
PATIENCE = 30.0
"""Seconds until a test gives a condition up."""

PROVIDERS = f"""
[providers.main]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{GOOD}", "{BAD}", "{ENDLESS}", "{RECOVERS}", "{SLOW}", "{SILENT}", "{LARGE}"]
retries = 1

[providers.broken]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["fault-500"]
retries = 0
fallback = ["main"]
"""

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


class Scraped:
    """One answer of `/metrics`: `scraped("chat_log_bytes")`, `scraped("chat_streams_open", transport="sse")`."""

    def __init__(self, text: str) -> None:
        self.families = families(text)
        self.series: Series = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.series[name, frozenset(labels.items())]

    def has(self, name: str, **labels: str) -> bool:
        return (name, frozenset(labels.items())) in self.series

    def labels(self) -> dict[str, set[str]]:
        """The names of all series, each with the names of its labels."""
        found: dict[str, set[str]] = {}
        for name, labels in self.series:
            found.setdefault(name, set()).update(label for label, _value in labels)
        return found


async def scrape(server: ChatServer, headers: dict[str, str] | None = None) -> Scraped:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{server.url}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Scraped(answer.text)


async def until(server: ChatServer, condition: Callable[[Scraped], bool]) -> Scraped:
    """Scrapes until the condition holds; the gauges are set once a second."""
    deadline = time.monotonic() + PATIENCE
    while not condition(scraped := await scrape(server)):
        assert time.monotonic() < deadline, scraped.series
        await asyncio.sleep(0.1)
    return scraped


async def reply(client: httpx.AsyncClient, model: str, provider: str = "main", **more: Any) -> dict[str, Any]:
    """A whole reply, good or bad: the generation's record. `more`: of the request's body."""
    send = {"message": "hello there", "provider": provider, "model": model, **more}
    answer = await client.post("/chat", json=send, headers={"Accept": "application/json"})
    generation: dict[str, Any] = answer.json().get("generation") or {}
    return generation


@contextlib.asynccontextmanager
async def running(client: httpx.AsyncClient, model: str, provider: str = "main") -> AsyncIterator[None]:
    """A reply that does not end soon by itself, followed over SSE from its first token on. Stopped at the end."""
    send = {"message": "hello", "provider": provider, "model": model}
    async with client.stream("POST", "/chat", json=send) as answer:
        events = server_events(answer)
        async for event in events:
            if event.event == "message":
                break
        generation = answer.headers["x-generation-id"]
        yield
        assert (await client.post(f"/generations/{generation}/stop")).json()["status"] == "cancelled"
        async for _ in events:
            pass


@pytest_asyncio.fixture
async def watched(tmp_path: Path, prepared_database: ServerDatabase) -> AsyncIterator[Callable[..., Any]]:
    """`await watched(server="uvicorn", VARIABLE="value")`: a running server. `through` gets the simulator's address
    and gives the one to use instead, where something is to stand between the two. `more`: further providers."""
    simulator = OpenAIChatSimulator(KEY)
    await simulator.start()
    servers: list[ChatServer] = []

    async def start(
        server: str = "uvicorn", through: Callable[[str], Any] | None = None, more: str = "", **environment: str
    ) -> Any:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        chat_server = ChatServer(directory, {"TEST_KEY": KEY, **environment}, server)
        servers.append(chat_server)
        url = simulator.url if through is None else await through(simulator.url)
        chat_server.declare((PROVIDERS + more).format(url=url))
        chat_server.prepare(prepared_database)
        await chat_server.start()
        return chat_server

    yield start
    for chat_server in servers:
        chat_server.close()
    await simulator.aclose()
