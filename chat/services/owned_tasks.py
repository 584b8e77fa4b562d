"""Work that must come to its end, whoever waits for it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

from chat.served_request import served

T = TypeVar("T")


class OwnedTasks:
    """Runs work in tasks of its own: a client that leaves in the middle must not leave half of it undone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work; the work does not end with who waits."""
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # A fresh context: the request's would keep its thread and its connection. Only whose work it is goes along.
        context = contextvars.Context()
        context.run(served.set, served.get())
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Waits for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)
