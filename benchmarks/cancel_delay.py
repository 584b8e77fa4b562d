"""How long an upstream goes on after a reply was cancelled: until its simulator sees the connection closed.

From the cancellation of the adapter's `stream`, in the middle of a reply, for every upstream that has a simulator. Both
are in this process, over a real socket.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.stage import Stage
from benchmarks.stop_delay import percentile
from chat.events import ProviderEvent, Text
from chat.providers.base import ChatRequest, Provider, Turn
from chat.simulators.base import ConnectionRecord, Simulator
from tests.upstreams.rig import UpstreamRig, main_of
from tests.upstreams.rigs import RIGS

MODEL = "tokens-100000-50"
SLOWEST_P99 = "the slowest upstream, p99"

_PATIENCE = 10.0
_PAUSE_SECONDS = 0.05
_LOOK_SECONDS = 0.0005


def measure(stage: Stage, case: Case) -> Outcome:
    """`case.workload.streams`: how many are cancelled, of every upstream. Raises CannotMeasure where one goes on."""
    trials, quantities, slowest = case.workload.streams, [], 0.0
    for name, rig in RIGS.items():
        try:
            taken = asyncio.run(_cancelled(rig, trials))
        except (OSError, TimeoutError, asyncio.CancelledError) as error:
            raise CannotMeasure(f"{name} could not be cancelled: {error!r}") from error
        p50, p99 = percentile(taken, 0.50), percentile(taken, 0.99)
        slowest = max(slowest, p99)
        quantities += [
            Quantity(case.name, f"{name}, p50", p50, "ms"),
            Quantity(case.name, f"{name}, p99", p99, "ms"),
            Quantity(case.name, f"{name}, most", percentile(taken, 1.0), "ms"),
        ]
        print(f"{case.name}: {name}, {len(taken)} cancelled, {p50:g} ms at the median", flush=True)
    return Outcome([], [*quantities, Quantity(case.name, SLOWEST_P99, slowest, "ms")])


async def _cancelled(rig: UpstreamRig, trials: int) -> list[float]:
    """Of each: ms from the cancellation until the connection was seen closed."""
    simulator = rig.simulator()
    await simulator.start()
    registry = rig.registry(simulator.url)
    try:
        return [await _cancel(simulator, main_of(registry)) for _ in range(trials)]
    finally:
        await registry.aclose()
        await simulator.aclose()


async def _cancel(simulator: Simulator, provider: Provider) -> float:
    begun = asyncio.Event()

    def take(events: Sequence[ProviderEvent]) -> None:
        if any(isinstance(event, Text) for event in events):
            begun.set()

    async with asyncio.timeout(_PATIENCE):
        reply = asyncio.create_task(provider.stream(ChatRequest(MODEL, (Turn("user", "hello"),)), take))
        await begun.wait()
        # Else each would be cancelled right behind a token.
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
        record = _open(simulator)
        began = time.monotonic()
        reply.cancel()
        await asyncio.wait([reply])
        return (await _closed(record) - began) * 1000


async def _closed(record: ConnectionRecord) -> float:
    """When it was, once it is. Raises TimeoutError."""
    for _look in range(round(_PATIENCE / _LOOK_SECONDS)):
        if record.closed is not None:
            return record.closed
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError("the connection stands")


def _open(simulator: Simulator) -> ConnectionRecord:
    """The one connection that is open."""
    (record,) = (record for record in simulator.connections if record.closed is None)
    return record
