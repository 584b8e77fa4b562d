"""What stands between one request and the whims of upstreams: deadlines, retries, and a chain of fallbacks.

Before the first token, an attempt may be made again, at the same upstream or at the next of its chain. After it, a
failure is the person's to see: what was sent cannot be taken back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from chat.errors import ErrorCode, GenerationFailed, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Usage
from chat.observation import NO_RUN, Attempt, Run
from chat.providers.base import ChatRequest, Model, Provider, Take
from chat.providers.breaker import Breaker
from chat.providers.watch import Watch

logger = logging.getLogger(__name__)

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 8.0
"""Seconds before the first and any later attempt; up to a quarter less by chance, so that many do not come at once."""

RETRY_AFTER_MOST = 30.0
"""An upstream that asks for more patience than this has refused."""


class Chain(Protocol):
    """What a provider's fallbacks are looked up in, and how it has been doing."""

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]: ...
    def breaker(self, provider: str) -> Breaker: ...


def _nobody(events: Sequence[ProviderEvent]) -> None:
    raise AssertionError("nobody has asked for the events")


def delay_before(attempt: int, error: UpstreamError, chance: Callable[[], float] = random.random) -> float | None:
    """Seconds before the further attempt `attempt` (1, 2 …), or None when there should be none."""
    if not error.attempt_again:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= RETRY_AFTER_MOST else None
    delay = min(BACKOFF_FIRST * 2.0 ** (attempt - 1), BACKOFF_MOST)
    return delay * (1 - 0.25 * chance())


class RecoveringSource:
    """One run's events, over as many attempts as it takes. `provider` and `model` name who answers: from the first
    token on they don't change. One task runs `stream`; whoever else keeps time calls `watch.check`."""

    def __init__(
        self,
        chain: Chain,
        provider: Provider,
        model: Model,
        request: ChatRequest,
        run: Run = NO_RUN,
        *,
        resumed: bool = False,
    ) -> None:
        """`resumed`: it goes on with what this very provider has begun: no other may answer."""
        self._resumed = resumed
        self._chain = chain
        self._first = (provider, model)
        self._request = request
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._answered = False
        self._take: Take = _nobody
        self.watch = Watch()
        self.provider = provider.id
        self.model = model.id

    async def stream(self, take: Take) -> None:
        """Gives `take` the events as they come. Raises UpstreamError: after the first token at once; before it, the
        chosen provider's, when everything has been tried. What `take` raises is raised at once."""
        self._take = take
        try:
            await self._stream()
        finally:
            self._take = _nobody  # else whoever takes, and this, would hold each other

    async def _stream(self) -> None:
        self.watch.begin(self._first[0].timeouts.total)
        failure: UpstreamError | None = None
        for provider, model in self._candidates():
            attempt = 0
            while True:
                try:
                    await self._attempt(provider, model, attempt + 1)
                    return
                except UpstreamError as error:
                    # Refused content is not carried from house to house until somebody takes it.
                    if self._answered or self.watch.over or error.error_code is ErrorCode.CONTENT_FILTERED:
                        raise
                    attempt += 1
                    delay = self._delay(provider, attempt, error)
                    if delay is None:
                        failure = failure or error
                        break
                with self.watch.pausing():
                    await asyncio.sleep(delay)
        assert failure is not None, "there is always one candidate"
        raise failure

    def _candidates(self) -> list[tuple[Provider, Model]]:
        """The chosen provider and its fallbacks; those whose breaker is open only where all are."""
        if self._resumed:
            return [self._first]
        candidates = [self._first, *self._chain.fallbacks(self._first[0])]
        now = self._loop.time()
        return [one for one in candidates if self._chain.breaker(one[0].id).allows(now)] or candidates

    def _delay(self, provider: Provider, attempt: int, error: UpstreamError) -> float | None:
        """Seconds before the further attempt `attempt`, or None: this provider has no answer."""
        delay = delay_before(attempt, error) if attempt <= provider.retries else None
        if delay is None or delay >= self.watch.remaining():
            self._chain.breaker(provider.id).failed(error.error_code, self._loop.time())
            logger.warning("provider %s gave no answer: %s", provider.id, error.code)
            return None
        logger.info("provider %s: %s, trying again in %.1f s", provider.id, error.code, delay)
        return delay

    async def _attempt(self, provider: Provider, model: Model, number: int) -> None:
        """One attempt at one provider, under the deadlines. Nothing leaves it before the first token."""
        watch = self.watch
        held_back: list[ProviderEvent] = []

        def take(events: Sequence[ProviderEvent]) -> None:
            if not self._answered:
                held_back.extend(events)
                if not self._has_token(held_back, provider):
                    return
                events = held_back
                self._begin(provider, model)
                report.answered()
            watch.heard = True
            # After the finish, there is nothing left to be late.
            if type(events[-1]) is Finish:
                watch.waiting = False
            self._take(events)

        with self._reported(provider, model, number) as report, watch.attempt(provider.timeouts):
            await provider.stream(self._request_for(model), take)

    def _request_for(self, model: Model) -> ChatRequest:
        request = self._request
        return request if request.model == model.id else replace(request, model=model.id)

    def _has_token(self, events: Sequence[ProviderEvent], provider: Provider) -> bool:
        """Raises UpstreamError for an end before any token: of a reply that goes on, there may be no more to say."""
        for event in events:
            if type(event) is Finish and not self._resumed:
                raise self._empty(event, provider)
            if type(event) is not Usage:
                return True
        return False

    @contextmanager
    def _reported(self, provider: Provider, model: Model, number: int) -> Iterator[Attempt]:
        """Around one attempt, outside of its deadlines: what ends it is known here."""
        attempt = self._run.attempt(provider.id, model.id, number, fallback=provider is not self._first[0])
        failure: GenerationFailed | None = None
        try:
            yield attempt
        except GenerationFailed as error:
            failure = error
            raise
        finally:
            attempt.ended(failure)

    def _begin(self, provider: Provider, model: Model) -> None:
        self._answered = True
        self.provider, self.model = provider.id, model.id
        self.watch.first_token(provider.timeouts.idle)
        self._chain.breaker(provider.id).answered()

    def _empty(self, finish: ProviderEvent, provider: Provider) -> UpstreamError:
        """A proper end before any token is a failure; somebody else may have an answer."""
        assert isinstance(finish, Finish)
        filtered = finish.reason is FinishReason.CONTENT_FILTER
        code = ErrorCode.CONTENT_FILTERED if filtered else ErrorCode.EMPTY_REPLY
        return UpstreamError(code, details={"provider": provider.id})
