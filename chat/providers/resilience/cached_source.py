"""A run's events from the reply cache, where the same question has been answered before; else from who is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chat.events import Note, ProviderEvent, Tell
from chat.observation import Run
from chat.providers.base import ChatRequest, Model, Provider, Take
from chat.providers.resilience.recovering_source import Chain, RecoveringSource, untold
from chat.providers.resilience.replayed_source import ReplayedSource
from chat.providers.resilience.reply_cache import Recording, ReplyCache, is_deterministic, key_of


def source_for(
    cache: ReplyCache | None, chain: Chain, provider: Provider, model: Model, request: ChatRequest, run: Run, tell: Tell
) -> RecoveringSource | KeptSource | ReplayedSource:
    """For a run that begins, and does not go on with another's. `cache`: None for none."""
    if cache is None or not provider.profile.cache_seconds or not is_deterministic(request):
        return RecoveringSource(chain, provider, model, request, run, tell=tell)
    key = key_of(provider.id, request, personal=provider.personal)
    found = cache.find(provider.id, key, asyncio.get_running_loop().time())
    if found is not None:
        kept, age = found
        return ReplayedSource(kept, age, provider, model, request.pace, tell)
    return KeptSource(cache, key, chain, provider, model, request, run, tell)


class KeptSource:
    """A RecoveringSource whose reply is kept, if it is what the provider that was asked has answered to all that was
    asked."""

    def __init__(
        self,
        cache: ReplyCache,
        key: bytes,
        chain: Chain,
        provider: Provider,
        model: Model,
        request: ChatRequest,
        run: Run,
        tell: Tell,
    ) -> None:
        self._cache = cache
        self._key = key
        self._seconds = provider.profile.cache_seconds
        self._told = tell
        self._source = RecoveringSource(chain, provider, model, request, run, tell=self._tell)
        self._as_asked = True
        self.watch = self._source.watch
        self.provider = provider.id
        self.model = model.id
        self.upstream: str = provider.upstream

    async def stream(self, take: Take) -> None:
        recording = Recording(self._cache.longest)

        def both(events: Sequence[ProviderEvent]) -> None:
            self.provider, self.model = self._source.provider, self._source.model
            self.upstream = self._source.upstream
            recording.take(events)
            take(events)

        try:
            await self._source.stream(both)
        finally:
            self._told = untold  # else whoever is told, and this, would hold each other
        reply = recording.kept() if self._as_asked else None
        if reply is not None:
            self._cache.keep(self._key, reply, self._seconds, asyncio.get_running_loop().time())

    def _tell(self, note: Note) -> None:
        if note.note != "queued":
            self._as_asked = False
        self._told(note)
