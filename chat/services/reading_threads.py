"""The threads that read the database, each over a connection of its own.

Not a ThreadPoolExecutor: between its future and the event loop's stand two locks and a chain of callbacks, which cost
more than a read by primary key; and its queue has no bound.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from math import inf
from typing import Any

from django.db import InterfaceError, OperationalError, connections

from chat.services.call import Call, check_room, deliver

logger = logging.getLogger(__name__)


class ReadingThreads:
    """`count` threads from the first call on. `most_waiting`: calls that wait for a thread; more are refused."""

    def __init__(self, alias: str, count: int, most_waiting: int | None) -> None:
        self._alias = alias
        self._count = count
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._most_waiting = inf if most_waiting is None else most_waiting
        self._threads: list[threading.Thread] = []
        self._closed = False

    async def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Raises Unavailable when too many wait, and what `function` raises."""
        check_room(self._waiting.qsize(), 0 if self._closed else self._most_waiting)
        if not self._threads:
            self._start()
        call = Call(function, args, asyncio.get_running_loop())
        self._waiting.put(call)
        return await call.future

    def close(self) -> None:
        """Finishes what waits, then ends the threads and their connections."""
        self._closed = True
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._run, name=f"read-{self._alias}-{number}", daemon=True)
            for number in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:
            connections[self._alias].close()

    def _serve(self) -> bool:
        """One call; False at the end. A call of its own: while the thread waits again, it holds nothing of a result."""
        call = self._waiting.get()
        if call is None:
            return False
        if not call.future.cancelled():
            try:
                call.result = self._read(call)
            except BaseException as error:  # whatever went wrong belongs to the caller
                call.error = error
            deliver([call])
            self._tidy()
        return True

    def _read(self, call: Call) -> Any:
        try:
            return call.function(*call.args)
        except (OperationalError, InterfaceError):
            connection = connections[self._alias]
            if connection.connection is None or connection.is_usable():
                raise
        # The database has been restarted since this thread's last read: a new connection may do.
        self._tidy()
        return call.function(*call.args)

    def _tidy(self) -> None:
        connection = connections[self._alias]
        if connection.errors_occurred or (connection.connection is not None and connection.in_atomic_block):
            try:
                connection.close()
            except Exception:
                logger.exception("a connection to the database cannot be closed")
