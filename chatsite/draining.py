"""SIGTERM: drain first, then let the server end as it would have."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

from chat import runtime

_tasks: set[asyncio.Task[None]] = set()


def drain_on_sigterm(loop: asyncio.AbstractEventLoop) -> None:
    """Puts itself before the server's own handlers of SIGTERM and SIGINT; a second signal goes to them at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        server_handler = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None, server_handler: object = server_handler) -> None:
            signal.signal(number, server_handler)  # type: ignore[arg-type]
            loop.call_soon_threadsafe(_start_drain, loop, number)

        signal.signal(number, handle)


def _start_drain(loop: asyncio.AbstractEventLoop, number: int) -> None:
    task = loop.create_task(_drain_and_end(number), name="drain")
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _drain_and_end(number: int) -> None:
    try:
        await runtime.current().drain()
    finally:
        os.kill(os.getpid(), number)
