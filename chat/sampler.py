"""A look at the whole process once a second, for its observers and for those who wait."""

from __future__ import annotations

import asyncio

from chat.engine.clock import Clock
from chat.engine.engine import Engine
from chat.engine.log import EventLog
from chat.engine.readers import Readers
from chat.observation import Observer, Sample
from chat.providers.registry import Registry
from chat.providers.resilience.reply_cache import ReplyCache
from chat.providers.upstream_samples import sampled
from chat.services.database import Database

SAMPLE_SECONDS = 1.0


class Sampler:
    """Its observers get a sample, and those who wait for an upstream are told their places."""

    def __init__(
        self,
        engine: Engine,
        readers: Readers,
        log: EventLog,
        clock: Clock,
        database: Database,
        registry: Registry,
        reply_cache: ReplyCache | None,
        observer: Observer,
    ) -> None:
        self._engine = engine
        self._readers = readers
        self._log = log
        self._clock = clock
        self._database = database
        self._registry = registry
        self._reply_cache = reply_cache
        self._observer = observer

    async def look_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            now = loop.time()
            for provider in self._registry.providers:
                if (admission := self._registry.admission(provider)) is not None:
                    admission.tell(now)
            self._observer.sampled(self._sample(loop_lag=max(0.0, now - due)))

    def _sample(self, loop_lag: float) -> Sample:
        return Sample(
            generations=self._engine.live,
            streams=self._readers.streams(),
            connections=self._readers.connections(),
            dropped=self._readers.dropped,
            log_bytes=self._log.held_bytes,
            log_open=self._log.is_open,
            flush_interval=self._clock.interval,
            loop_lag=loop_lag,
            transactions=self._database.transactions,
            writes=self._database.writes,
            writes_waiting=self._database.writes_waiting,
            tasks=len(asyncio.all_tasks()),
            upstreams=sampled(self._registry, self._reply_cache),
        )
