"""How long a stop takes that is given at one worker for a reply which the other runs.

Until its reader, at the worker where the stop is given, has the last event, and until the stop is answered: whatever is
later. A crowd of replies is live, and they are stopped one after the other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from benchmarks import detached_reply, sse_client
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.model_name import Plan, name_of
from benchmarks.stage import Stage
from benchmarks.workers import Workers, workers

PLAN = Plan(2000, 25)
"""Long past the last stop of its crowd."""

CROWD = 50
"""Live at once."""

STOP = "stop at the other worker"
STOP_P95 = f"{STOP}, p95"

PAUSE_SECONDS = 0.15

_DELTA, _LAST = b'"isFinal":false', b'"isFinal":true'
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PATIENCE = 30.0
_STREAM_BYTES = 1 << 20
"""More than a reply that is stopped in time."""


def measure(stage: Stage, case: Case) -> Outcome:
    """`case.workload.streams`: how many are stopped. Raises CannotMeasure where one does not end so."""
    streams = case.workload.streams
    body = b'{"message": "hello", "model": "%b"}' % name_of(PLAN).encode()
    taken: list[tuple[float, float]] = []
    with workers(stage, PLAN, case.entrants[0].environment) as site:
        while len(taken) < streams:
            try:
                taken += asyncio.run(_stopped(site, body, min(CROWD, streams - len(taken))))
            except (OSError, TimeoutError, asyncio.IncompleteReadError, detached_reply.Refused) as error:
                raise CannotMeasure(f"a stop failed: {error!r}") from error
    both = [max(pair) for pair in taken]
    print(f"{case.name}: {len(both)} stops, {percentile(both, 0.5):.0f} ms at the median", flush=True)
    return Outcome(
        [],
        [
            Quantity(case.name, f"{STOP}, p50", percentile(both, 0.50), "ms"),
            Quantity(case.name, STOP_P95, percentile(both, 0.95), "ms"),
            Quantity(case.name, f"{STOP}, p99", percentile(both, 0.99), "ms"),
            Quantity(case.name, "until the last event, p95", percentile([event for event, _ in taken], 0.95), "ms"),
            Quantity(case.name, "until the answer, p95", percentile([answer for _, answer in taken], 0.95), "ms"),
        ],
    )


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-round(part * 100) * len(ordered) // 100) - 1)], 1)


async def _stopped(site: Workers, body: bytes, crowd: int) -> list[tuple[float, float]]:
    """Of each: ms until the last event, and until the answer."""
    async with asyncio.timeout(_PATIENCE + crowd):
        generations = [await detached_reply.start(site.chat(0), body, site.authorization) for _ in range(crowd)]
        readers = [await _reader(f"{site.generations(1)}/{one}/events", site.authorization) for one in generations]
        taken = []
        for generation, (reader, writer) in zip(generations, readers, strict=True):
            # Else each would begin where the one before it ended, at the same place of the clock's tick.
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))
            taken.append(await _stop(f"{site.generations(1)}/{generation}/stop", site.authorization, reader))
            writer.close()
        return taken


async def _reader(url: str, headers: dict[str, str]) -> Connection:
    """Of a reply's events, whose text has begun."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=_STREAM_BYTES)
    writer.write(sse_client.question(address.netloc, address.path, headers))
    await reader.readuntil(_DELTA)
    return reader, writer


async def _stop(url: str, headers: dict[str, str], reader: asyncio.StreamReader) -> tuple[float, float]:
    began = time.monotonic()

    async def last_event() -> float:
        await reader.readuntil(_LAST)
        return (time.monotonic() - began) * 1000

    async def answer() -> float:
        await detached_reply.post(url, b"", headers)
        return (time.monotonic() - began) * 1000

    return await asyncio.gather(last_event(), answer())
