"""The deadlines of one run, looked at once in a while: no timer is set or moved for a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from chat.errors import ErrorCode, UpstreamError
from chat.providers.base import Timeouts

NEVER = float("inf")

Phase = Literal["first_token", "idle", "total", "queue"]


class Watch:
    """Whoever sweeps calls `check`; the run says what it does. An attempt whose time is up is cancelled in its task,
    and raises UPSTREAM_TIMEOUT there, unless somebody else has cancelled that task too: theirs comes first.

    Times are seconds on a clock of the run's own, which stands still between `suspend` and `resume`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._paused = 0.0
        self._suspended_at: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._total = NEVER
        self._due = NEVER
        self._idle: float | None = None
        self._expired: Phase | None = None
        self._on_pause: Callable[[bool], None] | None = None
        self.heard = False
        """Set for each event; taken back by `check`, which then moves the deadline: all that a token costs."""
        self.waiting = False
        """Whether the run waits for its upstream; once that has finished, nothing expires any more."""
        self.over = False
        """The time for the whole run is up: no further attempt."""

    def begin(self, total: float) -> None:
        """The run begins: `total` seconds for all its attempts."""
        self._total = self._now() + total

    def remaining(self) -> float:
        return self._total - self._now()

    def first_token(self, idle: float) -> None:
        """From now on `idle` seconds between two events."""
        self._idle = idle
        self.heard = True

    @contextmanager
    def attempt(self, timeouts: Timeouts) -> Iterator[None]:
        """Around one attempt, in the task that makes it."""
        self._due, self._idle = self._now() + timeouts.first_token, None
        with self._watched():
            yield

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Around the pause before an attempt: only the whole run's time counts."""
        self._due, self._idle = NEVER, None
        with self._watched():
            yield

    @contextmanager
    def queued(self, seconds: float, on_pause: Callable[[bool], None]) -> Iterator[None]:
        """Around the wait for a turn, which may last `seconds`; the whole run's time stands still meanwhile. `on_pause`
        is told whether the run is paused: at once where it is, then whenever that changes."""
        began = self._now()
        self._due, self._idle = began + seconds, None
        total, self._total = self._total, NEVER
        self._on_pause = on_pause
        if self._suspended_at is not None:
            on_pause(True)
        try:
            with self._watched():
                yield
        finally:
            self._on_pause = None
            self._total = total + self._now() - began

    # For the sweep, and for whoever pauses the run

    def check(self, now: float) -> None:
        """`now` is the loop's time."""
        if not self.waiting or self._suspended_at is not None or self._task is None:
            return
        now -= self._paused
        if self.heard and self._idle is not None:
            self.heard = False
            self._due = now + self._idle
        if now >= self._total:
            self._expire("total")
        elif now >= self._due:
            self._expire(self._phase)

    def suspend(self) -> None:
        if self._suspended_at is None:
            self._suspended_at = self._loop.time()
            if self._on_pause is not None:
                self._on_pause(True)

    def resume(self) -> None:
        if self._suspended_at is not None:
            self._paused += self._loop.time() - self._suspended_at
            self._suspended_at = None
            if self._on_pause is not None:
                self._on_pause(False)

    # Internal

    @property
    def _phase(self) -> Phase:
        if self._on_pause is not None:
            return "queue"
        return "first_token" if self._idle is None else "idle"

    def _now(self) -> float:
        return (self._loop.time() if self._suspended_at is None else self._suspended_at) - self._paused

    def _expire(self, phase: Phase) -> None:
        assert self._task is not None
        self._expired = phase
        self.over = phase == "total"
        self.waiting = False  # once is enough: the connection is to be closed in peace
        self._task.cancel()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        self._task, self._expired, self.waiting, self.heard = task, None, True, False
        try:
            yield
        except BaseException as error:
            phase = self._expiry()
            if phase is None:
                raise
            # Ours is taken back; where there is another cancellation, that one goes on.
            others = task.uncancel() > cancellations
            if others or not isinstance(error, asyncio.CancelledError):
                raise
            raise UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details={"timeout": phase}) from None
        finally:
            self.waiting = False
            self._task = None

    def _expiry(self) -> Phase | None:
        return self._expired
