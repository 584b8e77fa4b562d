"""The deadlines of a single run outside of the engine, whose clock looks after those of all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chat.providers.resilience.watch import Watch

SWEEP_SECONDS = 0.05


@asynccontextmanager
async def swept(watch: Watch) -> AsyncIterator[None]:
    """Within it, the watch is looked at; its time begins with `watch.begin`."""
    sweeping = asyncio.create_task(_sweep(watch), name="watch-sweep")
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


async def _sweep(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    while True:
        watch.check(loop.time())
        await asyncio.sleep(SWEEP_SECONDS)
