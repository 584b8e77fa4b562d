"""The engine: starts generations, lets readers follow them, stops them, saves them, and drains."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from chat.engine.clock import Clock
from chat.engine.generation import Generation
from chat.engine.job import Job
from chat.engine.log import EventLog
from chat.engine.producer import Producer
from chat.engine.reader import Reader
from chat.engine.readers import Readers
from chat.engine.store import Partial, Store
from chat.engine.stream import Stream
from chat.errors import RESTARTING, Unavailable
from chat.events import TakeoverData, encode
from chat.observation import Observer

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.25
"""How often deadlines, stalled readers and pauses are looked at: no timeout is finer than this."""

SWEEPS_PER_REPORT = 4
"""Gaps between events are told to the observer once a second: the longest one of each generation."""

DRAIN_RETRY_SECONDS = 5
"""What a client that is refused while this worker drains is told to wait."""

LAST_WORDS_SECONDS = 1.0
"""How long readers have to take their terminal events before a drained worker closes their connections, and how long
the connections then have to close."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    reply_chars: int | None = 8_000_000
    save_seconds: float = 1.0
    pause_seconds: float = 300.0
    stop_without_readers: bool = False
    disconnect_grace_seconds: float = 30.0


class Engine:
    """One a process. `open` before use, `drain` and `aclose` at the end."""

    def __init__(
        self,
        *,
        log: EventLog,
        clock: Clock,
        readers: Readers,
        store: Store,
        settings: EngineSettings,
        observer: Observer,
    ) -> None:
        self._log = log
        self._clock = clock
        self.readers = readers
        self._store = store
        self._settings = settings
        self._observer = observer
        self._producers: dict[str, Producer] = {}
        self._live: Counter[str] = Counter()
        self._housekeeping: list[asyncio.Task[None]] = []
        self._saving = asyncio.Lock()
        self._sweeps = 0
        self.draining = False

    def open(self) -> None:
        self._housekeeping = [
            asyncio.create_task(self._sweep_forever(), name="engine-sweep"),
            asyncio.create_task(self._save_forever(), name="engine-save"),
        ]

    # Generations

    def check_open(self) -> None:
        """Raises Unavailable while this worker drains, or cannot log what it would start."""
        if self.draining:
            raise Unavailable(RESTARTING, retry_after=DRAIN_RETRY_SECONDS)
        self._log.check_open()

    def fence_all(self) -> None:
        """This worker has been taken for dead: others have what it runs, or soon will."""
        for generation in self.running():
            self._fence(generation)

    def _fence(self, generation: str) -> None:
        producer = self._producers.get(generation)
        if producer is not None:
            logger.warning("generation %s: another worker has taken it", generation)
            producer.fence()

    def start(self, job: Job) -> None:
        """Starts a committed generation, or goes on with it. Its first event is there when this returns."""
        resumed = job.resumed
        started = asyncio.get_running_loop().time() - (0.0 if resumed is None else resumed.seconds)
        generation = Generation(
            job.start.generation, started=started, reply_chars=self._settings.reply_chars, input_chars=job.input_chars
        )
        if resumed is not None:
            generation.restore(resumed.text, resumed.reasoning, resumed.notes, resumed.first_token_ms)
        stream = self._log.open(
            generation.id,
            generation.snapshot,
            epoch=job.epoch,
            after=0 if resumed is None else resumed.last,
            fenced=partial(self._fence, job.start.generation),
        )
        run = self._observer.started(job.start, job.account)
        producer = Producer(job, generation, stream, log=self._log, clock=self._clock, store=self._store, run=run)
        self._producers[generation.id] = producer
        self._live[job.account] += 1
        if resumed is None:
            self._log.append(stream, "start", encode(job.start))
        else:
            self._log.append(stream, "takeover", encode(TakeoverData("worker_lost")))
        # A fresh context: the request's would keep its thread and its connection for the generation's life.
        producer.task = asyncio.get_running_loop().create_task(
            producer.run(), name=f"generation-{generation.id}", context=contextvars.Context()
        )
        producer.task.add_done_callback(lambda task: self._ended(generation.id, job.account, task))

    async def stop(self, generation: str) -> bool:
        """Ends a generation of this worker and returns when its terminal event is out; False when it is not here."""
        producer = self._producers.get(generation)
        if producer is None:
            return False
        await producer.stop()
        return True

    async def pause(self, generation: str) -> bool:
        return await self._command(generation, Producer.pause)

    async def resume(self, generation: str) -> bool:
        return await self._command(generation, Producer.resume)

    def is_live(self, generation: str) -> bool:
        return generation in self._producers

    def live_of(self, account: str) -> int:
        """How many generations of an account run here."""
        return self._live[account]

    @property
    def live(self) -> int:
        """How many generations run here."""
        return len(self._producers)

    def running(self) -> list[str]:
        """The generations that run here."""
        return list(self._producers)

    async def ended(self, generation: str) -> None:
        """Returns once the generation does not run here (any more)."""
        producer = self._producers.get(generation)
        if producer is not None:
            await producer.ended()

    async def follow(self, reader: Reader, generation: str, after: int) -> bool:
        """Has the reader follow from its cursor; False when the log does not hold what it needs."""
        stream = await self._log.find(generation, after)
        if stream is None:
            return False
        if stream.holds_all_after(after):
            reader.follow(stream, after, [], replay=stream.ended_at is not None)
            return True
        if stream.snapshot is None:
            return False
        # The snapshot and its seq in one synchronous block: nothing is appended between them.
        snapshot = stream.snapshot(stream.appended)
        reader.follow(stream, snapshot.seq, [snapshot], replay=False)
        return True

    def quiet(self, seconds: float) -> list[Stream]:
        """What is followed here of other workers' generations, and has brought nothing for so long."""
        return self._log.quiet(asyncio.get_running_loop().time(), seconds)

    async def _command(self, generation: str, command: Callable[[Producer], None]) -> bool:
        producer = self._producers.get(generation)
        if producer is None:
            return False
        command(producer)
        await self._save([producer])
        return True

    def _ended(self, generation: str, account: str, task: asyncio.Task[None]) -> None:
        self._producers.pop(generation, None)
        self._live[account] -= 1
        if not self._live[account]:
            del self._live[account]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("generation %s: its task failed", generation, exc_info=error)

    # The end

    async def drain(self, seconds: float | None) -> None:
        """Refuses new work, lets generations finish, ends the rest as interrupted, and closes every reader."""
        self.draining = True
        await self._wait_for_producers(seconds)
        for producer in list(self._producers.values()):
            producer.interrupt()
        await self._wait_for_producers(None)
        await self.readers.served(LAST_WORDS_SECONDS)
        await self.readers.end_all(LAST_WORDS_SECONDS)

    async def aclose(self) -> None:
        """Ends what is left and the engine's own tasks."""
        self.draining = True
        for producer in list(self._producers.values()):
            producer.interrupt()
        await self._wait_for_producers(None)
        for task in self._housekeeping:
            task.cancel()
        await asyncio.gather(*self._housekeeping, return_exceptions=True)
        self._clock.close()
        await self._log.aclose()

    async def _wait_for_producers(self, seconds: float | None) -> None:
        tasks = [producer.task for producer in self._producers.values() if producer.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    # Housekeeping

    async def _sweep_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._sweep(loop.time())
            except Exception:
                logger.exception("the sweep failed")

    def _sweep(self, now: float) -> None:
        self._sweeps += 1
        report_gaps = self._sweeps % SWEEPS_PER_REPORT == 0
        for producer in list(self._producers.values()):
            producer.check_deadlines(now)
            if report_gaps:
                producer.report_gap(now)
            if producer.paused_since is not None and now - producer.paused_since > self._settings.pause_seconds:
                producer.resume()
            if self._settings.stop_without_readers:
                self._stop_if_unread(producer, now)
        self.readers.sweep(now)
        self._log.sweep(now)

    def _stop_if_unread(self, producer: Producer, now: float) -> None:
        if producer.stream.readers:
            producer.unread_since = None
        elif producer.unread_since is None:
            producer.unread_since = now
        elif now - producer.unread_since > self._settings.disconnect_grace_seconds:
            producer.cancel()

    async def _save_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.save_seconds)
            await self._save(self._producers.values())

    async def _save(self, producers: Iterable[Producer]) -> None:
        """One save at a time: what a failed one did not bring must come with the next, before anything later."""
        async with self._saving:
            taken: list[tuple[Producer, Partial]] = []
            try:
                taken.extend((one, partial) for one in producers if (partial := one.partial()) is not None)
                if not taken:
                    return
                await self._store.save([partial for _producer, partial in taken])
            except Exception:
                for producer, _partial in taken:
                    producer.generation.put_back_unsaved()
                logger.exception("partial texts of %d generations not saved", len(taken))
