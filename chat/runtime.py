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
from chat.observation import Lost, Observer, Observers
from chat.providers.registry import Registry
from chat.providers.resilience.reply_cache import ReplyCache
from chat.sampler import Sampler
from chat.services import configured_webhooks
from chat.services.account_deletion import AccountDeletion
from chat.services.api_keys import ApiKeys
from chat.services.client_threads import ClientThreads
from chat.services.commands import Commands
from chat.services.configured_limits import configured_limits
from chat.services.configured_providers import configured
from chat.services.conversations import Conversations
from chat.services.database import Database
from chat.services.exports import Exports
from chat.services.generations import Generations
from chat.services.histories import Histories
from chat.services.housekeeping import Housekeeping
from chat.services.idempotency import LOOK_SECONDS as KEYS_SECONDS
from chat.services.idempotency import Idempotency
from chat.services.identity import Identities
from chat.services.imports import Imports
from chat.services.key_use import KeyUse
from chat.services.languages import Languages
from chat.services.leases import Leases
from chat.services.limits import LOOK_SECONDS as LIMITS_SECONDS
from chat.services.nudges import Nudges
from chat.services.owned_tasks import OwnedTasks
from chat.services.process_channel import ProcessChannel
from chat.services.provider_switches import LOOK_SECONDS as SWITCHES_SECONDS
from chat.services.provider_switches import ProviderSwitches
from chat.services.reaping import Reaper
from chat.services.responses import Responses
from chat.services.search import Search
from chat.services.sending import Sending
from chat.services.sign_ins import SignIns
from chat.services.sign_outs import SignOuts
from chat.services.store import DatabaseStore
from chat.services.takeover import Takeover
from chat.services.tokens import Tokens
from chat.services.uids import Uids
from chat.services.unstored import Unstored
from chat.services.webhook_delivery import FORGET_SECONDS as WEBHOOKS_OLD_SECONDS
from chat.simulators.demonstration import Demonstration

if TYPE_CHECKING:
    from chat.traces.traces import Traces

logger = logging.getLogger(__name__)

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
        self.webhooks, self._deliveries = configured_webhooks.configured(self.database)
        self.store = DatabaseStore(self.database, webhooks=self._deliveries is not None)
        self.limits = configured_limits(
            self.database, running=lambda: self.engine.running(), live_of=lambda account: self.engine.live_of(account)
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
        observers: list[Observer | None] = [self.metrics, self.traces, journal, self.limits.observer]
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
        self.exports = Exports(self.database)
        self.imports = Imports(
            self.database, self.nudges, self._tasks, settings.CHAT_IMPORT_MESSAGES, settings.CHAT_REPLY_CHARS
        )
        self.languages = Languages(self.database)
        self.search = Search(self.database, settings.CHAT_SEARCH_SECONDS)
        self.identities = Identities(self.database, KeyUse(self.database, self._tasks))
        self.sign_outs = SignOuts(self.identities, self.channel, self._tasks)
        self.sign_ins = SignIns(self.database, self._tasks)
        self.tokens = Tokens(self.database)
        self.idempotency = Idempotency(self.database, self._tasks, settings.CHAT_IDEMPOTENCY_SECONDS)
        self.uids = Uids(self.database)
        self.api_keys = ApiKeys(self.database, settings.CHAT_API_KEYS_PER_USER)
        # Shared by all users: the same question to the same model, with nothing of theirs beside it.
        self._reply_cache = ReplyCache(settings.CHAT_CACHE_BYTES) if settings.CHAT_CACHE_BYTES else None
        self.registry: Registry
        self.switches: ProviderSwitches
        self.sending: Sending
        self.histories: Histories
        self.responses: Responses
        self.client_threads: ClientThreads
        self.commands = Commands(
            engine=self.engine, database=self.database, channel=self.channel, tasks=self._tasks, worker=self.worker
        )
        self.generations = Generations(
            engine=self.engine, database=self.database, tasks=self._tasks, commands=self.commands
        )
        self.account_deletion = AccountDeletion(
            self.database, self._tasks, self.generations, self.commands, self.sign_ins, self.sign_outs
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
            self.client_threads = ClientThreads(database=self.database, sending=self.sending)
            self.histories = Histories(self.database, self.sending)
            self.responses = Responses(
                *(self.database, self.registry, self.sending, self.histories),
                *(self.generations, self.nudges, settings.CHAT_CONTEXT_CHARS),
            )
            self._reaper.successor = Takeover(
                engine=self.engine,
                database=self.database,
                registry=self.registry,
                context_chars=settings.CHAT_CONTEXT_CHARS,
            )
            await self.log.open_connections()
            await self.limits.open()
            self.channel.open()
            self.sign_outs.open()
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
            self._housekeeping.repeat(self.limits.look, "limits", LIMITS_SECONDS)
            self._housekeeping.repeat(self.idempotency.sweep, "idempotency", KEYS_SECONDS)
            self._housekeeping.repeat(self.sign_outs.look, "sign-outs", settings.CHAT_PING_SECONDS)
            sampler = Sampler(
                *(self.engine, self.readers, self.log, self._clock, self.database),
                *(self.registry, self._reply_cache, self.observer),
            )
            self._housekeeping.keep(sampler.look_forever(), "sampler")
            self._housekeeping.repeat(self.switches.look, "provider-switches", SWITCHES_SECONDS)
            if not math.isinf(settings.CHAT_UNSTORED_SECONDS):
                unstored = Unstored(self.database, settings.CHAT_UNSTORED_SECONDS)
                self._housekeeping.repeat(unstored.delete, "unstored", unstored.look_seconds)
            if self._deliveries is not None:
                self._housekeeping.repeat(self._deliveries.send_due, "webhooks")
                self._housekeeping.repeat(self._deliveries.forget_old, "webhooks-old", WEBHOOKS_OLD_SECONDS)
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
        self.sign_outs.close()
        await self._tasks.aclose()
        # First of all the reaper: what it took now would go with this worker.
        await self._housekeeping.aclose()
        if self._deliveries is not None:
            await self._deliveries.aclose()
        await self.engine.aclose()
        await self.limits.aclose()
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
