"""The composition root: builds the engine and the services from the settings, starts them, and drains them."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings

from chat.configured_log import configured_log
from chat.engine.clock import Clock
from chat.engine.engine import Engine, EngineSettings
from chat.engine.readers import Readers
from chat.journal import Journal
from chat.metrics.metrics import Metrics
from chat.observation import Lost, Observer, Observers, Sample
from chat.providers.registry import Registry
from chat.providers.resilience.reply_cache import ReplyCache
from chat.providers.upstream_samples import sampled
from chat.services.commands import Commands
from chat.services.configured_providers import configured
from chat.services.conversations import Conversations
from chat.services.database import Database
from chat.services.generations import Generations
from chat.services.housekeeping import Housekeeping
from chat.services.identity import Identities
from chat.services.leases import Leases
from chat.services.limits import Limits
from chat.services.nudges import Nudges
from chat.services.owned_tasks import OwnedTasks
from chat.services.process_channel import ProcessChannel
from chat.services.provider_switches import LOOK_SECONDS as SWITCHES_SECONDS
from chat.services.provider_switches import ProviderSwitches
from chat.services.reaping import Reaper
from chat.services.sending import Sending
from chat.services.store import DatabaseStore
from chat.services.takeover import Takeover
from chat.services.tokens import Tokens
from chat.simulators.demonstration import Demonstration

if TYPE_CHECKING:
    from chat.traces.traces import Traces

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 1.0
"""How often the process is looked at for its observers, and those who wait for an upstream are told their places."""

HOST_CHARS = 50
"""Of a host's name, in its workers' names: a pod's may have 63, which with what follows is more than a row holds."""


class Runtime:
    """One a process. `start` in its event loop before the first request, `drain` and `close` at the end."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()[:HOST_CHARS]}-{secrets.token_hex(6)}"
        self.database = Database(
            read_threads=settings.CHAT_READ_THREADS,
            reads_waiting=settings.CHAT_READS_WAITING,
            writes_waiting=settings.CHAT_WRITES_WAITING,
        )
        self.store = DatabaseStore(self.database)
        self.limits = Limits(
            send_rate=settings.CHAT_SEND_RATE,
            login_rate=settings.CHAT_LOGIN_RATE,
            streams_per_user=settings.CHAT_STREAMS_PER_USER,
        )
        self.readers = Readers(ping_seconds=settings.CHAT_PING_SECONDS, stall_seconds=settings.CHAT_STALL_SECONDS)
        self._leases: Leases | None = None
        self._clock = Clock(
            settings.CHAT_TICK_SECONDS, settings.CHAT_TICK_STRETCHED_SECONDS, settings.CHAT_TICK_CROWDED_SECONDS
        )
        self.log = configured_log(self._clock, self._may_speak)
        self.metrics = Metrics() if settings.CHAT_METRICS == "on" else None
        self.traces = _traces() if settings.CHAT_TRACES == "on" else None
        journal = Journal() if settings.CHAT_REQUEST_LOG == "on" else None
        observers: list[Observer | None] = [self.metrics, self.traces, journal]
        self.observer = Observers([one for one in observers if one is not None])
        self.engine = Engine(
            log=self.log,
            clock=self._clock,
            readers=self.readers,
            store=self.store,
            settings=EngineSettings(
                reply_chars=settings.CHAT_REPLY_CHARS,
                save_seconds=settings.CHAT_SAVE_SECONDS,
                pause_seconds=settings.CHAT_PAUSE_SECONDS,
                stop_without_readers=settings.CHAT_ON_DISCONNECT == "stop",
                disconnect_grace_seconds=settings.CHAT_DISCONNECT_GRACE_SECONDS,
            ),
            observer=self.observer,
        )
        self._tasks = OwnedTasks()
        self.channel = ProcessChannel()
        self.nudges = Nudges(self._tasks, self.channel)
        self.conversations = Conversations(self.database, self.nudges)
        self.identities = Identities(self.database)
        self.tokens = Tokens(self.database)
        # Shared by all users: the same question to the same model, with nothing of theirs beside it.
        self._reply_cache = ReplyCache(settings.CHAT_CACHE_BYTES) if settings.CHAT_CACHE_BYTES else None
        self.registry: Registry
        self.switches: ProviderSwitches
        self.sending: Sending
        self.commands = Commands(
            engine=self.engine, database=self.database, channel=self.channel, tasks=self._tasks, worker=self.worker
        )
        self.generations = Generations(
            engine=self.engine, database=self.database, tasks=self._tasks, commands=self.commands
        )
        self._reaper = Reaper(database=self.database, store=self.store, log=self.log, worker=self.worker)
        self._reaper.is_closing = lambda: self.engine.draining
        self._demonstration = Demonstration()
        self._housekeeping = Housekeeping()
        self._starting = asyncio.Lock()
        self.started = False

    async def start(self) -> None:
        """Idempotent. Ends the dead's generations, starts the demonstration upstreams where they are needed."""
        async with self._starting:
            if self.started:
                return
            self.registry = (await configured(self._demonstration)).registry
            self.switches = ProviderSwitches(self.database, self.registry)
            with suppress(Exception):  # all are on then, and the housekeeping looks again
                await self.switches.look()
            if self.metrics is not None:
                for provider in self.registry.providers.values():
                    for model in provider.models:
                        self.metrics.expect(provider.id, model.id)
            self.sending = Sending(
                engine=self.engine,
                database=self.database,
                registry=self.registry,
                limits=self.limits,
                tasks=self._tasks,
                nudges=self.nudges,
                worker=self.worker,
                context_chars=settings.CHAT_CONTEXT_CHARS,
                reply_cache=self._reply_cache,
            )
            self._reaper.successor = Takeover(
                engine=self.engine,
                database=self.database,
                registry=self.registry,
                context_chars=settings.CHAT_CONTEXT_CHARS,
            )
            await self.log.open_connections()
            self.channel.open()
            if self.log.shared:
                clock = asyncio.get_running_loop().time
                self._leases = Leases(self.database, self.worker, clock, self.engine.fence_all)
                self.commands.open()
            else:
                # The log of a single process dies with it: whatever runs in the database now is nobody's.
                self._mourn(await self._reaper.reap_all_others())
            self.engine.open()
            self._housekeeping.repeat(self._reap, "reaper")
            self._housekeeping.repeat(self.generations.follow_up, "follow-up")
            self._housekeeping.keep(self._sample_forever(), "sampler")
            self._housekeeping.repeat(self.switches.look, "provider-switches", SWITCHES_SECONDS)
            if self._leases is not None:
                self._housekeeping.repeat(self._leases.beat, "heartbeat")
                self._housekeeping.repeat(self.commands.look, "commands")
            self.started = True

    async def drain(self) -> None:
        seconds = settings.CHAT_DRAIN_SECONDS
        await self.engine.drain(None if math.isinf(seconds) else seconds)

    async def close(self) -> None:
        if not self.started:
            return
        await self._tasks.aclose()
        # First of all the reaper: what it took now would go with this worker.
        await self._housekeeping.aclose()
        await self.engine.aclose()
        await self.channel.aclose()
        if self._leases is not None:
            with suppress(Exception):  # the others will see it
                await self._leases.resign()
        await self.registry.aclose()
        await self._demonstration.aclose()
        await asyncio.to_thread(self.database.close)
        if self.metrics is not None:
            self.metrics.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)

    def _may_speak(self) -> bool:
        return self._leases is None or self._leases.is_held

    async def _sample_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            now = loop.time()
            for provider in self.registry.providers:
                if (admission := self.registry.admission(provider)) is not None:
                    admission.tell(now)
            self.observer.sampled(self._sample(loop_lag=max(0.0, now - due)))

    def _sample(self, loop_lag: float) -> Sample:
        return Sample(
            generations=self.engine.live,
            streams=self.readers.streams(),
            connections=self.readers.connections(),
            dropped=self.readers.dropped,
            log_bytes=self.log.held_bytes,
            log_open=self.log.is_open,
            flush_interval=self._clock.interval,
            loop_lag=loop_lag,
            transactions=self.database.transactions,
            writes=self.database.writes,
            writes_waiting=self.database.writes_waiting,
            tasks=len(asyncio.all_tasks()),
            upstreams=sampled(self.registry, self._reply_cache),
        )

    async def _reap(self) -> None:
        if self.engine.draining:
            return  # others see to the dead
        if self._leases is None:
            self._mourn(await self._reaper.reap_silent(self.engine.running()))
        else:
            dead = await self._leases.dead()
            self._mourn(await self._reaper.reap(dead, self.engine.running()))

    def _mourn(self, reaped: Sequence[Lost]) -> None:
        for lost in reaped:
            self.observer.lost(lost)
        if reaped:
            logger.warning("%d generations of dead workers ended", len(reaped))


def _traces() -> Traces:
    from chat.traces.traces import Traces  # noqa: PLC0415 (without traces, OpenTelemetry is not even loaded)

    return Traces()


_current: Runtime | None = None


def current() -> Runtime:
    """This process's runtime, built at the first call."""
    global _current
    if _current is None:
        _current = Runtime()
    return _current


def forget() -> None:
    """After `close`: the next `current` builds a new one."""
    global _current
    _current = None
