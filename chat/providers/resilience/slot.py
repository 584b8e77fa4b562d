"""Waiting for a slot at a provider that takes so many at a time."""

from __future__ import annotations

import asyncio
from types import TracebackType

from chat.errors import ErrorCode, UpstreamError
from chat.events import Note, Tell
from chat.providers.base import Provider
from chat.providers.resilience.admission import Admission, Visitor
from chat.providers.resilience.unasked import Unasked
from chat.providers.resilience.watch import Watch

QUEUE_FULL = "Too many people are waiting for this AI service. Please try again in a moment."
QUEUE_SLOW = "The AI service is busy with other questions, and your turn did not come in time. Please try again."
"""In English; whoever shows them translates them."""


class QueueIsFull(Unasked):
    def __init__(self, provider: str, places: int) -> None:
        super().__init__(ErrorCode.UPSTREAM_RATE_LIMITED, QUEUE_FULL, details={"provider": provider, "queue": places})


class QueueIsSlow(Unasked):
    def __init__(self, provider: str) -> None:
        super().__init__(ErrorCode.UPSTREAM_TIMEOUT, QUEUE_SLOW, details={"provider": provider, "timeout": "queue"})


class Slot:
    """`async with` around one attempt: goes in when it is its turn, and makes room again whatever happens. The wait
    takes nothing of the whole run's time, and may last as long as that: the provider's `timeouts.total`. A run that is
    paused is passed over until it goes on. Raises QueueIsFull, unless it `returns`, and QueueIsSlow."""

    def __init__(
        self, admission: Admission, provider: Provider, user: str, watch: Watch, tell: Tell, *, returns: bool
    ) -> None:
        """`returns`: the run was admitted here before."""
        self._admission = admission
        self._provider = provider
        self._user = user
        self._watch = watch
        self._tell = tell
        self._returns = returns
        self._loop = asyncio.get_running_loop()
        self._come = asyncio.Event()
        self._failure: Exception | None = None
        self._visitor: Visitor | None = None

    async def __aenter__(self) -> None:
        admission = self._admission
        visitor = self._visitor = admission.enter(
            self._user, self._loop.time(), self._come.set, self._on_place, returns=self._returns
        )
        if visitor is None:
            raise QueueIsFull(self._provider.id, admission.places)
        if visitor.admitted:
            return
        try:
            await self._wait(visitor)
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    async def _wait(self, visitor: Visitor) -> None:
        def on_pause(paused: bool) -> None:
            if paused:
                self._admission.hold(visitor)
            else:
                self._admission.release(visitor)

        try:
            with self._watch.queued(self._provider.timeouts.total, on_pause):
                await self._come.wait()
        except UpstreamError:
            raise QueueIsSlow(self._provider.id) from None
        if self._failure is not None:
            raise self._failure
        self._tell(Note("queued", {"position": 0}))

    def _leave(self) -> None:
        assert self._visitor is not None
        self._admission.leave(self._visitor, self._loop.time())

    def _on_place(self, place: int) -> None:
        try:
            self._tell(Note("queued", {"position": place}))
        except Exception as error:
            # It is raised where this one waits: whoever has just made room must not stumble over it.
            self._failure = error
            self._come.set()
