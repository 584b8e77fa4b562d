"""One provider with several keys, which are used by turns; one that was refused rests for a while."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from chat.errors import ErrorCode, UpstreamError
from chat.events import ProviderEvent, Reasoning, Text
from chat.providers.base import ChatRequest, Profile, Provider, Take

logger = logging.getLogger(__name__)

REFUSED_SECONDS = 600.0
"""How long a key rests that was not accepted: somebody has to see to it, and may do so meanwhile."""

LIMITED_SECONDS = 30.0
"""How long one rests that has had too many requests, where the upstream names no time."""

REFUSALS_MOST = 1000
"""Keys that rest for a model, of one provider; of more, the one whose rest ends first is awake again."""


class KeyTurns:
    """Which of `count` keys to use. One that was not accepted rests for that model only, since it may lack the right
    to just this one; one that has had too many requests rests for all. Times are seconds."""

    def __init__(self, count: int) -> None:
        self._limited_until = [0.0] * count
        self._refused_until: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._next = 0

    def order(self, model: str, now: float) -> list[int]:
        """The keys to try for one request, best first: those that don't rest, by turns; else all, that first which
        rests for the shortest time."""
        count = len(self._limited_until)
        by_turns = [(self._next + step) % count for step in range(count)]
        rests = {key: max(0.0, self._rests_until(key, model) - now) for key in by_turns}
        order = [key for key in by_turns if not rests[key]] or sorted(by_turns, key=rests.__getitem__)
        self._next = (order[0] + 1) % count
        return order

    def refused(self, key: int, model: str, error: UpstreamError, now: float) -> bool:
        """Whether the failure was the key's, which then rests."""
        if error.error_code is ErrorCode.UPSTREAM_AUTH:
            self._refused_until[key, model] = now + REFUSED_SECONDS
            self._refused_until.move_to_end((key, model))
            if len(self._refused_until) > REFUSALS_MOST:
                self._refused_until.popitem(last=False)
        elif error.error_code is ErrorCode.UPSTREAM_RATE_LIMITED:
            self._limited_until[key] = now + (LIMITED_SECONDS if error.retry_after is None else error.retry_after)
        else:
            return False
        return True

    def answered(self, key: int, model: str) -> None:
        """Its rest is over, if it has one."""
        self._limited_until[key] = 0.0
        self._refused_until.pop((key, model), None)

    def resting(self, now: float) -> int:
        """How many rest, for whichever model."""
        limited = {key for key, until in enumerate(self._limited_until) if until > now}
        return len(limited.union(key for (key, _model), until in self._refused_until.items() if until > now))

    def _rests_until(self, key: int, model: str) -> float:
        return max(self._limited_until[key], self._refused_until.get((key, model), 0.0))


class KeyRotation(Provider):
    """Adapters of the same kind, one for each key, as one provider."""

    def __init__(self, profile: Profile, adapters: Sequence[Provider]) -> None:
        super().__init__(profile)
        self.kind = adapters[0].kind
        self.upstream = adapters[0].upstream
        self.prefills = adapters[0].prefills
        self.personal = adapters[0].personal
        self._adapters = adapters
        self._keys = KeyTurns(len(adapters))

    @property
    def adapters(self) -> Sequence[Provider]:
        return self._adapters

    async def stream(self, request: ChatRequest, take: Take) -> None:
        """As long as nothing has been given to `take`, a key that is refused is followed by the next at once. Of their
        failures the first is raised after which a further attempt may help, if there is one."""
        clock = asyncio.get_running_loop().time
        model = request.model
        failure: UpstreamError | None = None
        for key in self._keys.order(model, clock()):
            given = _Given(take, partial(self._keys.answered, key, model))
            try:
                await self._adapters[key].stream(request, given)
                return
            except UpstreamError as error:
                if not self._keys.refused(key, model, error, clock()) or given.anything:
                    raise
                logger.warning("provider %s: key %d of %d rests: %s", self.id, key + 1, len(self._adapters), error.code)
                if failure is None or (error.attempt_again and not failure.attempt_again):
                    failure = error
        assert failure is not None, "there is always one key to try"
        raise failure

    def resting(self, now: float) -> int:
        return self._keys.resting(now)

    async def aclose(self) -> None:
        for adapter in self._adapters:
            await adapter.aclose()


class _Given:
    """Passes on, knows whether there was anything, and says when the first token comes."""

    __slots__ = ("_answered", "_on_answer", "_take", "anything")

    def __init__(self, take: Take, on_answer: Callable[[], None]) -> None:
        self._take = take
        self._on_answer = on_answer
        self._answered = False
        self.anything = False

    def __call__(self, events: Sequence[ProviderEvent]) -> None:
        self.anything = True
        if not self._answered and any(isinstance(event, Text | Reasoning) for event in events):
            self._answered = True
            self._on_answer()
        self._take(events)
