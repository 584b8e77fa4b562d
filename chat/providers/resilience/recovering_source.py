"""One run over as many attempts as it takes: deadlines, retries, and a chain of fallbacks.

Before the first token, an attempt may be made again, at the same upstream or at the next of its chain. After it, a
failure is the person's to see: what was sent cannot be taken back. When something is tried, and how much of the
conversation is sent, is decided by policies that know neither upstreams nor time: see retry, breaker, admission and
context_window.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from typing import Protocol

from chat.errors import ErrorCode, GenerationFailed, UpstreamError
from chat.events import Finish, FinishReason, Note, ProviderEvent, Tell, Usage
from chat.observation import NO_RUN, Attempt, Run
from chat.providers.base import ChatRequest, Model, Provider, Take
from chat.providers.resilience import context_window
from chat.providers.resilience.admission import Admission
from chat.providers.resilience.breaker import Breaker, Passage
from chat.providers.resilience.retry import delay_before
from chat.providers.resilience.slot import Slot
from chat.providers.resilience.unasked import SwitchedOff, Unasked
from chat.providers.resilience.watch import Watch

logger = logging.getLogger(__name__)

_NO_SLOT = nullcontext()


class Chain(Protocol):
    """What a provider's fallbacks are looked up in, how its models have been doing, who else is there, and whether it
    may still be asked."""

    def fallbacks(self, provider: Provider) -> Iterator[tuple[Provider, Model]]: ...
    def breaker(self, provider: str, model: str) -> Breaker: ...
    def admission(self, provider: str) -> Admission | None: ...
    def is_switched_off(self, provider: str) -> bool: ...


def _nobody(events: Sequence[ProviderEvent]) -> None:
    raise AssertionError("nobody has asked for the events")


def untold(note: Note) -> None:
    """There is nobody to be told."""


class RecoveringSource:
    """One run's events, over as many attempts as it takes. `provider`, `model` and `upstream` say who answers: from the
    first token on they don't change. One task runs `stream`; whoever else keeps time calls `watch.check`."""

    def __init__(
        self,
        chain: Chain,
        provider: Provider,
        model: Model,
        request: ChatRequest,
        run: Run = NO_RUN,
        *,
        resumed: bool = False,
        tell: Tell = untold,
    ) -> None:
        """`resumed`: it goes on with what this very provider has begun: no other may answer. `tell`: is given what a
        reader should know beside the text."""
        self._tell = tell
        self._resumed = resumed
        self._chain = chain
        self._first = (provider, model)
        self._request = request
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._answered = False
        self._admitted: set[str] = set()
        self._take: Take = _nobody
        self.watch = Watch()
        self.provider = provider.id
        self.model = model.id
        self.upstream: str = provider.upstream

    async def stream(self, take: Take) -> None:
        """Gives `take` the events as they come. Raises UpstreamError: after the first token at once; before it, the
        chosen provider's, when everything has been tried. What `take` raises is raised at once."""
        self._take = take
        try:
            await self._stream()
        finally:
            self._take, self._tell = _nobody, untold  # else whoever takes, and this, would hold each other

    async def _stream(self) -> None:
        self.watch.begin(self._first[0].timeouts.total)
        chain = [] if self._resumed else list(self._chain.fallbacks(self._first[0]))
        candidates = [self._first, *chain]
        failure = await self._ask(candidates, alone=False) if chain else None
        if failure is None and not self._answered:
            failure = await self._ask(candidates, alone=True)
        if failure is not None:
            raise failure

    async def _ask(self, candidates: Sequence[tuple[Provider, Model]], *, alone: bool) -> UpstreamError | None:
        """One after the other, until somebody has answered. `alone`: there is nobody else for whom to spare one whose
        breaker is open. Returns the first failure, or None: somebody has answered, or all were spared or are off."""
        failure: UpstreamError | None = None
        for provider, model in candidates:
            try:
                await self._ask_one(provider, model, alone)
            except UpstreamError as error:
                if self._is_last(error):
                    raise
                failure = failure or error.with_traceback(None)  # its frames hold it in turn
            if self._answered:
                return None
        return failure

    async def _ask_one(self, provider: Provider, model: Model, alone: bool) -> None:
        """All attempts at one provider. Raises UpstreamError; returns without an answer where it was spared or is
        off."""
        if self._is_off(provider, alone):
            return None
        breaker = self._chain.breaker(provider.id, model.id)
        if not breaker.admits(self._loop.time(), alone=alone):
            return self._spare(provider, breaker, alone)  # before it waits for a slot
        request = self._request_for(provider, model)
        passage: Passage | None = None
        try:
            for number in count(1):
                try:
                    async with self._slot(provider):
                        self._admitted.add(provider.id)
                        if self._is_off(provider, alone):  # it may have been for long in the queue
                            return None
                        passage = passage or breaker.enter(self._loop.time(), alone=alone)
                        if passage is None:
                            return self._spare(provider, breaker, alone)
                        return await self._attempt(provider, model, request, number, passage)
                except Unasked:
                    raise
                except UpstreamError as error:
                    delay = None if self._is_last(error) else self._delay(provider, number, error)
                    if delay is None:
                        if passage is not None and not self._answered:
                            passage.failed(error.error_code, self._loop.time())
                        raise
                with self.watch.pausing():
                    await asyncio.sleep(delay)
                if self._is_off(provider, alone):  # before it waits for a slot again
                    return None
        finally:
            if passage is not None:
                passage.close()

    def _is_last(self, error: UpstreamError) -> bool:
        """Refused content is not carried from house to house until somebody takes it."""
        return self._answered or self.watch.over or error.error_code is ErrorCode.CONTENT_FILTERED

    def _spare(self, provider: Provider, breaker: Breaker, alone: bool) -> None:
        """Raises UpstreamError for who has nobody else to go to."""
        if alone:
            raise UpstreamError(breaker.last_failure, details={"provider": provider.id, "breaker": "open"})

    def _is_off(self, provider: Provider, alone: bool) -> bool:
        """Raises SwitchedOff for who has nobody else to go to."""
        if not self._chain.is_switched_off(provider.id):
            return False
        if alone:
            raise SwitchedOff(provider.id)
        return True

    def _slot(self, provider: Provider) -> AbstractAsyncContextManager[None]:
        admission = self._chain.admission(provider.id)
        if admission is None:
            return _NO_SLOT
        returns = provider.id in self._admitted
        return Slot(admission, provider, self._request.user, self.watch, self._tell, returns=returns)

    def _delay(self, provider: Provider, attempt: int, error: UpstreamError) -> float | None:
        """Seconds before the further attempt `attempt`, or None: this provider has no answer."""
        chance = random.random()  # noqa: S311 (a pause is no secret)
        delay = delay_before(attempt, error, chance) if attempt <= provider.retries else None
        if delay is None or delay >= self.watch.remaining():
            logger.warning("provider %s gave no answer: %s", provider.id, error.code)
            return None
        logger.info("provider %s: %s, trying again in %.1f s", provider.id, error.code, delay)
        return delay

    async def _attempt(
        self, provider: Provider, model: Model, request: ChatRequest, number: int, passage: Passage
    ) -> None:
        """One attempt at one provider, under the deadlines. Nothing leaves it before the first token."""
        watch = self.watch
        held_back: list[ProviderEvent] = []

        def take(events: Sequence[ProviderEvent]) -> None:
            if not self._answered:
                held_back.extend(events)
                if not self._has_token(held_back, provider):
                    return
                events = held_back
                passage.answered()
                self._begin(provider, model, request)
                report.answered()
            watch.heard = True
            # After the finish, there is nothing left to be late.
            if type(events[-1]) is Finish:
                watch.waiting = False
            self._take(events)

        with self._reported(provider, model, number) as report, watch.attempt(provider.timeouts):
            await provider.stream(request, take)
            if not self._answered:
                raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": provider.id})

    def _request_for(self, provider: Provider, model: Model) -> ChatRequest:
        """As much of it as this model takes. What another has counted says nothing of it."""
        request = self._request
        own = (one for one in request.counted if one.provider == provider.id and one.model == model.id)
        fitted = context_window.fit(request.turns, model.context, request.params, next(own, None))
        if not fitted.left_out and request.model == model.id:
            return request
        return replace(
            request, model=model.id, turns=fitted.turns, left_out=request.left_out + fitted.left_out, counted=()
        )

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

    def _begin(self, provider: Provider, model: Model, request: ChatRequest) -> None:
        self._answered = True
        self.provider, self.model, self.upstream = provider.id, model.id, provider.upstream
        self.watch.first_token(provider.timeouts.idle)
        if request.left_out and not self._resumed:  # else it was told before
            self._tell(Note("trimmed", {"left_out": request.left_out}))
        if provider is not self._first[0]:
            asked, asked_model = self._first
            details = {
                "provider": provider.id,
                "model": model.id,
                "upstream": provider.upstream,
                "asked": asked.id,
                "asked_model": asked_model.id,
                "asked_upstream": asked.upstream,
            }
            self._tell(Note("fallback", details))

    def _empty(self, finish: ProviderEvent, provider: Provider) -> UpstreamError:
        """A proper end before any token is a failure; somebody else may have an answer."""
        assert isinstance(finish, Finish)
        filtered = finish.reason is FinishReason.CONTENT_FILTER
        code = ErrorCode.CONTENT_FILTERED if filtered else ErrorCode.EMPTY_REPLY
        return UpstreamError(code, details={"provider": provider.id})
