"""What stands between one request and the whims of upstreams: deadlines, retries, and a chain of fallbacks.

Before the first token, an attempt may be made again, at the same upstream or at the next of its chain. After it, a
failure is the person's to see: what was sent cannot be taken back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from chat.errors import ErrorCode, UpstreamError
from chat.events import ProviderEvent, Reasoning, Text
from chat.providers.base import ChatRequest, Model, Provider

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 8.0
"""Seconds before the first and any later attempt; up to a quarter less by chance, so that many do not come at once."""

RETRY_AFTER_MOST = 30.0
"""An upstream that asks for more patience than this has refused."""


class Chain(Protocol):
    """What a provider's fallbacks are looked up in."""

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]: ...


def delay_before(attempt: int, error: UpstreamError, chance: Callable[[], float] = random.random) -> float | None:
    """Seconds before the further attempt `attempt` (1, 2 …), or None when there should be none."""
    if not error.attempt_again:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= RETRY_AFTER_MOST else None
    delay = min(BACKOFF_FIRST * 2.0 ** (attempt - 1), BACKOFF_MOST)
    return delay * (1 - 0.25 * chance())


class Watch:
    """The deadlines of one run, looked at once in a while by `check`: no timer is set or moved for a token.

    `touch` says that something came. An attempt whose time is up is cancelled in its task, and raises UPSTREAM_TIMEOUT
    there. Times are the loop's, in seconds.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._total = float("inf")
        self._next = float("inf")
        self._idle = float("inf")
        self._touched = 0.0
        self._suspended_at: float | None = None
        self.expired = False
        self.final = False

    def begin(self, total: float) -> None:
        self._total = self._loop.time() + total

    def attempt(self, first_token: float) -> None:
        """An attempt begins in the current task."""
        self._task = asyncio.current_task()
        self._next = self._loop.time() + first_token
        self.expired = False

    def streaming(self, idle: float) -> None:
        """The first token has come."""
        self._idle = idle
        self._next = float("inf")
        self.touch()

    def touch(self) -> None:
        self._touched = self._loop.time()

    def end(self) -> None:
        self._task = None
        self._next = self._idle = float("inf")

    def suspend(self) -> None:
        self._suspended_at = self._loop.time()

    def resume(self) -> None:
        if self._suspended_at is not None:
            paused, self._suspended_at = self._loop.time() - self._suspended_at, None
            self._total += paused
            self._next += paused
            self._touched += paused

    def check(self, now: float) -> None:
        if self._task is None or self.expired or self._suspended_at is not None:
            return
        if now >= self._total:
            self.expired = self.final = True
        elif now >= self._next or now - self._touched >= self._idle:
            self.expired = True
        if self.expired:
            self._task.cancel()


class RecoveringSource:
    """One run's events, over as many attempts as it takes. `provider` and `model` name who answers at the moment."""

    def __init__(self, chain: Chain, provider: Provider, model: Model, request: ChatRequest) -> None:
        self._chain = chain
        self._first = (provider, model)
        self._request = request
        self.watch = Watch()
        self.provider = provider.id
        self.model = model.id

    async def events(self) -> AsyncGenerator[ProviderEvent, None]:
        """Raises UpstreamError when everything has been tried, or after the first token at once."""
        first_provider, _model = self._first
        self.watch.begin(first_provider.timeouts.total)
        failure: UpstreamError | None = None
        for provider, model in self._candidates():
            if failure is not None and failure.error_code is ErrorCode.CONTENT_FILTERED:
                break
            for attempt in range(provider.retries + 1):
                started = False
                try:
                    async with aclosing(self._attempt(provider, model)) as events:
                        async for event in events:
                            if not started and (type(event) is Text or type(event) is Reasoning):
                                started = True
                                self.provider, self.model = provider.id, model.id
                                self.watch.streaming(provider.timeouts.idle)
                            yield event
                    return
                except UpstreamError as error:
                    if started or self.watch.final:
                        raise
                    failure = error
                    delay = delay_before(attempt + 1, error) if attempt < provider.retries else None
                if delay is None:
                    break
                await asyncio.sleep(delay)
        assert failure is not None, "there is always one candidate"
        raise failure

    def _candidates(self) -> Iterator[tuple[Provider, Model]]:
        yield self._first
        yield from self._chain.fallbacks(self._first[0])

    async def _attempt(self, provider: Provider, model: Model) -> AsyncGenerator[ProviderEvent, None]:
        """One attempt at one provider, under the deadlines."""
        watch = self.watch
        watch.attempt(provider.timeouts.first_token)
        try:
            async with aclosing(provider.stream(replace(self._request, model=model.id))) as events:
                async for event in events:
                    watch.touch()
                    yield event
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # Cancelled by the watch alone: a timeout. Cancelled by somebody else too: theirs comes first.
            if not watch.expired or task is None or task.uncancel() > 0:
                raise
            raise UpstreamError(
                ErrorCode.UPSTREAM_TIMEOUT, details={"provider": provider.id}, attempt_again=not watch.final
            ) from None
        finally:
            watch.end()
