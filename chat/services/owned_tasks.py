"""Work that must come to its end, whoever waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from chat.errors import RequestError
from chat.served_request import served

logger = logging.getLogger(__name__)

T = TypeVar("T")


class OwnedTasks:
    """Runs work in tasks of its own: a client that leaves in the middle must not leave half of it undone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work; the work does not end with who waits."""
        return await self.result_of(self.start(work))

    async def result_of(self, task: asyncio.Task[T]) -> T:
        """The same of work that has been started."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_failure)
            raise

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


def _tell_failure(task: asyncio.Task[Any]) -> None:
    """Of work that nobody waits for any more; a refusal is none."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, RequestError):
        logger.error("what a client has left behind failed", exc_info=error)
