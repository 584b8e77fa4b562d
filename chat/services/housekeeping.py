"""What a process does again and again, beside its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a worker says that it lives, and looks after what others have left behind."""


class Housekeeping:
    """Each work in a task of its own: none waits for another."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def repeat(self, work: Callable[[], Coroutine[Any, Any, None]], name: str, seconds: float = LOOK_SECONDS) -> None:
        """From now on about once in so many seconds, whatever becomes of it."""
        self.keep(_forever(work, seconds), name)

    def keep(self, task: Coroutine[Any, Any, None], name: str) -> None:
        """What goes on by itself."""
        self._tasks.append(asyncio.create_task(task, name=name))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _forever(work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    troubled = False
    while True:
        try:
            await work()
            troubled = False
        except Exception as error:
            if not troubled:
                logger.error("housekeeping failed: %s", work.__name__, exc_info=error)
            troubled = True
        await asyncio.sleep(seconds)
