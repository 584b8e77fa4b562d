"""A thousand messages to upstreams of every kind that fail at random, in every way they can: nothing gets lost."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest_asyncio
from websockets.asyncio.client import ClientConnection

from chat.simulators.base import Simulator
from chat.simulators.script import Fault, script_for
from tests.chat_server import ChatServer, server_events
from tests.server_database import ServerDatabase
from tests.upstreams.rig import UpstreamRig
from tests.upstreams.rigs import RIGS
from tests.watched_server import until

SENDS = 1000
AT_ONCE = 50
TIMEOUT = {"connect": 2, "first_token": 2, "idle": 2, "total": 30}
SAMPLED = 3.0
"""Seconds after which every gauge has been set anew, with room to spare."""
PERCENT = 26
"""Of the first upstream's requests fail; of each further one's, one percent more, so that their fates differ."""

ENDED = {"completed", "failed"}
NO_FAILURE = (None, Fault.SLOW)
_NUMBER = re.compile(r"#(\d+) ")
_ROWS = """
SELECT g.id, g.status, g.seq, g.error_code, m.text FROM chat_generation g JOIN chat_message m ON m.id = g.message_id
"""


class Row(NamedTuple):
    """A generation as the database has it."""

    status: str
    seq: int
    error_code: str
    text: str


class Told(NamedTuple):
    """What a client was told of it. `ends`: its terminal events, by their codes; "" for a good one."""

    upstream: str
    generation: str
    text: str
    ends: list[str]
    seq: int


def models() -> dict[str, str]:
    return {name: f"trouble-{PERCENT + number}" for number, name in enumerate(RIGS)}


class Upstreams:
    """A simulator and a provider of every kind, by the rigs' names."""

    def __init__(self) -> None:
        self.simulators: dict[str, Simulator] = {}
        self.environment: dict[str, str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The providers file."""
        async with AsyncExitStack() as stack:
            tables = []
            for name, rig in RIGS.items():
                simulator = self.simulators[name] = rig.simulator()
                await simulator.start()
                stack.push_async_callback(simulator.aclose)
                tables.append(self._table(name, rig, simulator.url))
            yield "\n".join(tables)

    def _table(self, name: str, rig: UpstreamRig, url: str) -> str:
        """The rig's own, with its keys under names of its own in the environment."""
        prefix = f"{name.upper()}_OF_TESTS_"
        self.environment |= {prefix + key: value for key, value in rig.environment.items()}
        given = {
            key: value.replace("env:", f"env:{prefix}") if isinstance(value, str) else value
            for key, value in rig.table.items()
        }
        table = {**given, "base_url": url, "models": [models()[name]], "timeout": TIMEOUT, "retries": 0}
        return f"[providers.{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items())


def toml(value: Any) -> str:
    """JSON's words are TOML's, but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest_asyncio.fixture
async def troubled(
    tmp_path: Path, prepared_database: ServerDatabase
) -> AsyncIterator[tuple[ChatServer, Mapping[str, Simulator]]]:
    upstreams = Upstreams()
    async with upstreams.running() as providers:
        server = ChatServer(tmp_path, upstreams.environment, "uvicorn")
        server.declare(providers)
        server.prepare(prepared_database)
        try:
            await server.start()
            yield server, upstreams.simulators
        finally:
            server.close()


async def test_a_thousand_sends_to_upstreams_that_fail_at_random_leave_nothing_behind(
    troubled: tuple[ChatServer, Mapping[str, Simulator]],
) -> None:
    server, simulators = troubled
    names = list(simulators)
    async with await server.client() as client:
        told = [await over_http(client, name) for name in names]
    await asyncio.sleep(SAMPLED)  # else it would be of a moment before these
    idle = (await until(server, lambda scraped: scraped("chat_generations_live") == 0))("chat_event_loop_tasks")

    numbers = iter(range(len(told), SENDS))
    async with await server.client() as client, asyncio.TaskGroup() as group:
        for worker in range(AT_ONCE):
            group.create_task(send_on(server, client, names, numbers, told, by_socket=bool(worker % 2)))
    assert len(told) == SENDS

    rows = rows_of(server)
    assert len(rows) == SENDS
    for each in told:
        row = rows[each.generation]
        assert row.status in ENDED, each
        assert each.ends == ["" if row.status == "completed" else row.error_code], each
        assert (each.text, each.seq) == (row.text, row.seq), each
        check_text(each, row)

    played = {
        script_for(model, "", number).fault
        for name, model in models().items()
        for number in range(1, simulators[name].requests[model] + 1)
    }
    assert played == {None, *Fault}, "every way to fail was tried"
    assert len({(each.upstream, number_of(each.text)) for each in told if each.text}) == len(
        [each for each in told if each.text]
    ), "no answer went to two messages"

    await until(
        server,
        lambda scraped: scraped("chat_generations_live") == 0 and scraped("chat_event_loop_tasks") <= idle,
    )
    assert [name for name, simulator in simulators.items() if simulator.open_connections] == []
    assert "Traceback" not in server.log()


def number_of(text: str) -> int:
    match = _NUMBER.match(text)
    assert match is not None, text
    return int(match[1])


def check_text(told: Told, row: Row) -> None:
    """It is a beginning of what the upstream said to this very request; the whole of it, where it was completed."""
    if not row.text:
        assert row.status == "failed", told
        return
    script = script_for(models()[told.upstream], "", number_of(row.text))
    said = "".join(script.tokens)
    if row.status == "completed":
        assert row.text == said, told
        assert script.fault in NO_FAILURE, told
    else:
        assert said.startswith(row.text), told
        assert script.fault not in NO_FAILURE or row.error_code == "UPSTREAM_TIMEOUT", told


def rows_of(server: ChatServer) -> dict[str, Row]:
    return {str(uuid.UUID(str(id))): Row(*row) for id, *row in server.database.execute(_ROWS)}


async def send_on(
    server: ChatServer, client: httpx.AsyncClient, names: list[str], numbers: Any, told: list[Told], *, by_socket: bool
) -> None:
    """One message after the other, as long as there are any."""
    upstreams = (names[number % len(names)] for number in numbers)
    if not by_socket:
        told += [await over_http(client, upstream) for upstream in upstreams]
        return
    async with await server.socket() as socket:
        told += [await over_websocket(socket, upstream) for upstream in upstreams]


def question(upstream: str) -> dict[str, str]:
    return {"message": "hello", "provider": upstream, "model": models()[upstream]}


async def over_http(client: httpx.AsyncClient, upstream: str) -> Told:
    async with client.stream("POST", "/chat", json=question(upstream)) as answer:
        assert answer.status_code == 200
        events = [(event.event, json.loads(event.data), int(event.id)) async for event in server_events(answer)]
        return of_events(upstream, answer.headers["x-generation-id"], events)


async def over_websocket(socket: ClientConnection, upstream: str) -> Told:
    await socket.send(json.dumps({"type": "send", **question(upstream)}))
    events = []
    while not events or not is_end(*events[-1][:2]):
        frame = json.loads(await socket.recv())
        assert frame["type"] != "refused", frame
        if "seq" in frame:
            events.append((frame["type"], frame, frame["seq"]))
    return of_events(upstream, events[-1][1]["generation"], events)


def is_end(event: str, data: dict[str, Any]) -> bool:
    return event == "error" or (event == "message" and data["isFinal"])


def of_events(upstream: str, generation: str, events: list[tuple[str, dict[str, Any], int]]) -> Told:
    assert [seq for _event, _data, seq in events] == list(range(1, len(events) + 1))
    text = "".join(data["delta"] for event, data, _seq in events if event == "message")
    ends = [data.get("code", "") for event, data, _seq in events if is_end(event, data)]
    assert is_end(*events[-1][:2])
    return Told(upstream, generation, text, ends, events[-1][2])
