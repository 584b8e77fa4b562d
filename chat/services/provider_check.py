"""Whether an upstream answers: one short question through its real adapter, and what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Text, Usage
from chat.providers.base import ChatRequest, Model, Provider, Turn
from chat.providers.registry import Registry
from chat.providers.resilience.watch import Watch
from chat.services.printable import first_words
from chat.services.provider_failure_words import Asked, sentence
from chat.services.swept_watch import swept

logger = logging.getLogger(__name__)

QUESTION = "Count from 1 to 20."
"""Its answer is short, and yet long enough to see whether it comes piece by piece."""

AT_ONCE = 8
"""Checks that run at the same time: more would wait for this machine rather than for the upstreams."""

WORDS_CHARS = 60
ENOUGH_PIECES = 24
"""That many show how the answer comes: the rest is not waited for …"""

MOST_SECONDS = 15.0
"""… nor is it after so long a time, once the first is there."""

KEPT_CHARS = 1000
"""Of the answer, to show its first words."""

PIECES = 8
HELD_BACK_SECONDS = 1.0
TOGETHER_SECONDS = 0.02
"""So many pieces within so short a time, after so long a wait, were held back on the way."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`failure`: what is wrong and what to do, "" where all is well; `code`: its code. `hint`: what is well and
    could be better. Sentences are translated, and so is the finish reason of an answer that was not waited for. `key`:
    of several, from 1 on; `source`: where that one is looked for; `missing`: it, or the only one, is not there."""

    provider: str
    model: str
    key: int | None = None
    source: str = ""
    missing: bool = False
    failure: str = ""
    code: str = ""
    hint: str = ""
    first_token_ms: int | None = None
    duration_ms: int = 0
    finish_reason: str = ""
    usage: Usage | None = None
    words: str = ""

    @property
    def ok(self) -> bool:
        return not self.failure


async def check_all(registry: Registry, asked: Iterable[tuple[Provider, Model]]) -> list[Checked]:
    """In the order given, each key apart; a few at the same time, each under its provider's timeouts."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(provider: Provider, model: Model, key: int | None) -> Checked:
        asked = Asked(registry.declaration(provider.id), model.id, key)
        if (missing := _missing(registry, asked)) is not None:
            failure = _("%(reason)s: set it, and start the server again.") % {"reason": missing}
            code = ErrorCode.UPSTREAM_AUTH
            return Checked(provider.id, model.id, key, asked.key_source, missing=True, failure=failure, code=code)
        async with room:
            return await _check(asked, provider, model)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(one(adapter, model, key))
            for provider, model in asked
            for key, adapter in _keys(registry, provider)
        ]
    return [task.result() for task in tasks]


def _keys(registry: Registry, provider: Provider) -> Iterator[tuple[int | None, Provider]]:
    """Each key by the number that it is declared with, where there are several, and who asks with it: a good one hides
    no bad one. For one that is not there, the provider stands."""
    declared = registry.declaration(provider.id).keys
    if declared == 1 or registry.missing_key(provider.id) is not None:
        yield None, provider
        return
    left_out, adapters = registry.keys_left_out(provider.id), iter(provider.adapters)
    for number in range(1, declared + 1):
        yield number, provider if number in left_out else next(adapters)


def _missing(registry: Registry, asked: Asked) -> str | None:
    """Which key is not there, and where it was looked for."""
    id = asked.declaration.id
    return registry.missing_key(id) or (None if asked.key is None else registry.keys_left_out(id).get(asked.key))


async def _check(asked: Asked, provider: Provider, model: Model) -> Checked:
    """One attempt, whatever the provider's state: also where it is switched off."""
    heard = _Heard(provider, asked)
    try:
        await heard.listen(model)
    except UpstreamError as error:
        return heard.checked(model, sentence(asked, error), error.code)
    except Exception:  # an adapter's fault: the other checks go on
        logger.exception("the check of provider %s failed", provider.id)
        unknown = UpstreamError(ErrorCode.GENERATION_ERROR)
        return heard.checked(model, sentence(asked, unknown), unknown.code)
    return heard.checked(model)


class _Enough(Exception):
    """The rest of the answer is not waited for."""


class _Heard:
    """What one attempt has brought so far. Times are the loop's, in seconds."""

    def __init__(self, provider: Provider, asked: Asked) -> None:
        self._provider = provider
        self._asked = asked
        self._clock = asyncio.get_running_loop().time
        self._watch = Watch()
        self._began = self._clock()
        self._first: float | None = None
        self._last = 0.0
        self._pieces = 0
        self._text = ""
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._patience = asyncio.timeout(None)
        self._waited = True

    async def listen(self, model: Model) -> None:
        """Raises UpstreamError, also for an end without a word."""
        request = ChatRequest(model.id, (Turn("user", QUESTION),))
        self._watch.begin(self._provider.timeouts.total)
        try:
            async with self._patience, swept(self._watch):
                with self._watch.attempt(self._provider.timeouts):
                    await self._provider.stream(request, self._take)
        except _Enough:
            self._waited = False
        except TimeoutError:
            if not self._patience.expired():
                raise
            self._waited = False
        if self._first is None:
            filtered = self._finish is FinishReason.CONTENT_FILTER
            raise UpstreamError(ErrorCode.CONTENT_FILTERED if filtered else ErrorCode.EMPTY_REPLY)

    def checked(self, model: Model, failure: str = "", code: str = "") -> Checked:
        first = self._first
        return Checked(
            provider=self._provider.id,
            model=model.id,
            key=self._asked.key,
            source=self._asked.key_source,
            failure=failure,
            code=code,
            hint=_("It came all at once: see whether a proxy on the way holds streams back.")
            if self._held_back
            else "",
            first_token_ms=None if first is None else round((first - self._began) * 1000),
            duration_ms=round((self._clock() - self._began) * 1000),
            finish_reason=(self._finish or "") if self._waited else _("not waited for"),
            usage=self._usage,
            words=first_words(self._text, WORDS_CHARS),
        )

    @property
    def _held_back(self) -> bool:
        return (
            self._first is not None
            and self._pieces >= PIECES
            and self._first - self._began >= HELD_BACK_SECONDS
            and self._together
        )

    @property
    def _together(self) -> bool:
        return self._first is not None and self._last - self._first <= TOGETHER_SECONDS

    def _take(self, events: Sequence[ProviderEvent]) -> None:
        self._watch.heard = True
        for event in events:
            if isinstance(event, Usage):
                self._usage = event
            elif isinstance(event, Finish):
                self._finish = event.reason
                self._watch.waiting = False
            else:
                self._hear(event.delta, spoken=isinstance(event, Text))
        if self._finish is None and self._pieces >= ENOUGH_PIECES and not self._together:
            raise _Enough

    def _hear(self, delta: str, *, spoken: bool) -> None:
        self._last = self._clock()
        self._pieces += 1
        if self._first is None:
            self._first = self._last
            self._patience.reschedule(max(self._first, self._began + MOST_SECONDS))
            self._watch.first_token(self._provider.timeouts.idle)
        if spoken and len(self._text) < KEPT_CHARS:
            self._text += delta[:KEPT_CHARS]
