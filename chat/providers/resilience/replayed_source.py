"""A run's events from a reply that was kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from chat.events import Finish, FinishReason, Note, ProviderEvent, Reasoning, Tell, Text
from chat.providers.base import Model, Pace, Provider, Take
from chat.providers.resilience.reply_cache import Kept
from chat.providers.resilience.watch import Watch

PIECES = 40
PIECE_CHARS = 24
"""It comes in so many pieces at most, none shorter than this but for the last: it reads as one that is being written,
and nobody waits for long."""

PIECE_SECONDS = 0.02
"""Between two pieces, where the pace asks for nothing longer."""


class ReplayedSource:
    """As RecoveringSource, but nobody is asked: no deadline runs, since nothing can be late."""

    def __init__(self, kept: Kept, age: float, provider: Provider, model: Model, pace: Pace, tell: Tell) -> None:
        """`age`: seconds since it was kept."""
        self._kept = kept
        self._age = age
        self._pace = pace
        self._tell: Tell | None = tell
        self._go_on = asyncio.Event()
        self.watch = Watch()
        self.provider = provider.id
        self.model = model.id
        self.upstream: str = provider.upstream

    async def stream(self, take: Take) -> None:
        tell, self._tell = self._tell, None  # else whoever is told, and this, would hold each other
        assert tell is not None, "a source is streamed once"
        tell(Note("cached", {"seconds": int(self._age)}))
        for piece in self._pieces():
            # As a connection is read: not during a pause, and from the first token on by the clock.
            if self._pace.hold(self):
                await self._go_on.wait()
                self._go_on.clear()
            take([piece])
            await asyncio.sleep(PIECE_SECONDS)
        usage = self._kept.usage
        take([Finish(FinishReason.STOP)] if usage is None else [usage, Finish(FinishReason.STOP)])

    def resume(self) -> None:
        """The pace lets it go on."""
        self._go_on.set()

    def _pieces(self) -> Iterator[ProviderEvent]:
        for text, kind in ((self._kept.reasoning, Reasoning), (self._kept.text, Text)):
            size = max(PIECE_CHARS, -(-len(text) // PIECES))
            for at in range(0, len(text), size):
                yield kind(text[at : at + size])
