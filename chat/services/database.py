"""How asynchronous code reaches the database: a few threads that read, one that writes.

Writes are grouped: all that wait are done in one transaction, so a thousand sends share a commit, and SQLite never
sees two writers of ours. Patient writes wait a moment for others to share a commit with. A caller hears of its write
only once it is committed. If a group fails, its writes are done again one by one, and only the guilty one's caller gets
the error.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, ParamSpec, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError, connections, transaction
from django.utils.translation import gettext as _

from chat.errors import Unavailable
from chat.services.call import Call, check_room, deliver
from chat.services.reading_threads import ReadingThreads

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

GROUP = 256
"""Writes in one transaction at most: keeps a commit, and what its failure repeats, short."""


AWAY = (OperationalError, InterfaceError)
"""What Django raises for a connection that cannot be made, or that breaks."""

RETRY_SECONDS = 2

PATIENCE_SECONDS = 0.01
"""How long a patient write waits at most: nobody sees it, and of five hundred replies a second, five share a commit."""


class Database:
    """One database of Django's, by its alias. Functions given to it are plain synchronous ORM code."""

    def __init__(
        self,
        alias: str = "default",
        *,
        read_threads: int = 4,
        reads_waiting: int | None = 10_000,
        writes_waiting: int | None = 10_000,
    ) -> None:
        self.alias = alias
        self._readers = ReadingThreads(alias, read_threads, reads_waiting)
        # Its bound is looked at by whoever puts: the queue with a bound of its own takes four times as long.
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._most_waiting = inf if writes_waiting is None else writes_waiting
        self._patient: list[Call] = []
        self._patience: asyncio.TimerHandle | None = None
        self._writer: threading.Thread | None = None
        self._closed = False
        self.transactions = 0
        self.writes = 0
        """Of the writing thread, since the start; it alone counts them."""

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` in a reading thread. Raises Unavailable when too many reads wait, or the database is away."""
        try:
            result: T = await self._readers.call(partial(function, **kwargs) if kwargs else function, args)
        except AWAY as error:
            raise _unavailable() from error
        return result

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` in the writing thread, in a transaction that it shares with others; returns once that is
        committed. It may run twice, the first time rolled back. Raises Unavailable when too many writes wait, or the
        database is away."""
        assert not kwargs, "a write takes positional arguments"
        write = self._accept(function, args)
        self._hand_over()
        self._waiting.put(write)
        result: T = await _result(write)
        return result

    async def write_patiently(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, a moment later or with the next `write`."""
        assert not kwargs, "a write takes positional arguments"
        write = self._accept(function, args)
        self._patient.append(write)
        if self._patience is None:
            self._patience = write.loop.call_later(PATIENCE_SECONDS, self._hand_over)
        result: T = await _result(write)
        return result

    def _accept(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Call:
        check_room(self.writes_waiting, 0 if self._closed else self._most_waiting)
        if self._writer is None:
            self._start_writer()
        return Call(function, args, asyncio.get_running_loop())

    def _hand_over(self) -> None:
        """The patient writes to the writing thread."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            patient, self._patient = self._patient, []
            for write in patient:
                self._waiting.put(write)

    @property
    def writes_waiting(self) -> int:
        return self._waiting.qsize() + len(self._patient)

    def close(self) -> None:
        """Finishes what waits, then ends the threads and their connections."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            for write in self._patient:
                self._waiting.put(write)
            self._waiting.put(None)
            self._writer.join()
        self._readers.close()

    def _start_writer(self) -> None:
        self._writer = threading.Thread(target=self._write_all, name=f"write-{self.alias}", daemon=True)
        self._writer.start()

    def _write_all(self) -> None:
        try:
            while self._write_group():
                pass
        finally:
            connections[self.alias].close()

    def _write_group(self) -> bool:
        """Waits for a write and does it with all that wait behind it; False at the end. A call of its own: while the
        thread waits again, it holds nothing of what it has written, which may be megabytes."""
        first = self._waiting.get()
        if first is None:
            return False
        group, ended = [first], False
        while len(group) < GROUP and not ended:
            try:
                write = self._waiting.get_nowait()
            except queue.Empty:
                break
            if write is None:
                ended = True
            else:
                group.append(write)
        self._commit(group)
        deliver(group)
        return not ended

    def _tidy(self) -> None:
        connection = connections[self.alias]
        if connection.errors_occurred:
            try:
                connection.close_if_unusable_or_obsolete()
            except Exception:
                logger.exception("a connection to the database cannot be closed")

    def _commit(self, group: list[Call], again: bool = True) -> None:
        done, before = False, connections[self.alias].connection
        try:
            with transaction.atomic(using=self.alias):
                for write in group:
                    write.result = write.function(*write.args)
                done = True
            self.transactions += 1
            self.writes += len(group)
        except Exception as error:  # whatever went wrong belongs to a caller
            lost = isinstance(error, AWAY) and self._is_lost(before)
            self._tidy()
            if lost and again and not done:
                # The database has been restarted since the last write, and nothing of this one is committed.
                self._commit(group, again=False)
            elif len(group) == 1 or (done and not isinstance(error, IntegrityError)):
                # Whether the commit itself was made is not known: nothing is done twice. But it was not where a row
                # refers to nothing, which is looked at last.
                for write in group:
                    write.error = error
            else:
                for write in group:
                    self._commit([write], again)

    def _is_lost(self, before: Any) -> bool:
        """The driver's connection, which a transaction that ends badly may have replaced already."""
        connection = connections[self.alias]
        return before is not None and (connection.connection is not before or not connection.is_usable())


async def _result(write: Call) -> Any:
    try:
        return await write.future
    except AWAY as error:
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable(
        _("The server cannot reach its database. Please try again in a moment."), retry_after=RETRY_SECONDS
    )
