"""One upstream run: from the provider's events to the log, and at the end to the store and the terminal event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from chat.engine.clock import Clock, StreamPace
from chat.engine.generation import Generation, Outcome
from chat.engine.job import Job
from chat.engine.log import EventLog
from chat.engine.store import Ending, Partial, Store
from chat.engine.stream import Stream
from chat.engine.terminal import interruption, snapshot_of, terminal_event
from chat.errors import ErrorCode, GenerationFailed
from chat.events import Note, ProviderEvent
from chat.observation import Ended, Run

logger = logging.getLogger(__name__)

COMMIT_ATTEMPTS = 6
COMMIT_BACKOFF = 0.25
"""Seconds before the second attempt to commit an ending, doubled each time: eight in all. A database that is away
for longer must not leave a reader waiting: it is told, and the reaper ends the record later."""


class _Full(Exception):
    """The reply has its limit: the upstream need not go on."""


class Producer:
    """Owns one live generation. `run` is its task's whole life; `stop` and `interrupt` end it early."""

    def __init__(
        self,
        job: Job,
        generation: Generation,
        stream: Stream,
        *,
        log: EventLog,
        clock: Clock,
        store: Store,
        run: Run,
    ) -> None:
        self._job = job
        self.generation = generation
        self.stream = stream
        self._log = log
        self._clock = clock
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._pace = StreamPace(clock)
        self._run = run
        self._source = job.open_source(self._pace, run, self.tell)
        self._last_event = 0.0
        self._longest_gap = 0.0
        self._flush_planned = False
        self._begun = False
        self._reading = True
        self._cancelled = self._fenced = False
        self._failure: GenerationFailed | None = None
        self._unpaused = asyncio.Event()
        self._unpaused.set()
        self.paused_since: float | None = None
        self.unread_since: float | None = None
        self.task: asyncio.Task[None] | None = None

    # The run

    async def run(self) -> None:
        try:
            await self._read()
        except GenerationFailed as failure:
            # Without what led to it: its frames hold this producer, and futures that hold the failure in turn.
            failure.__traceback__ = failure.__context__ = failure.__cause__ = None
            self._failure = self._failure or failure
        except asyncio.CancelledError:
            if not (self._cancelled or self._fenced) and self._failure is None:
                raise  # the loop itself is going down
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        except Exception:
            logger.exception("generation %s failed", self.generation.id)
            self._failure = GenerationFailed(ErrorCode.GENERATION_ERROR)
        self.report_gap(self._loop.time())
        self._reading = False
        if self._fenced:
            await self._leave_to_others()
            return
        # The upstream connection is closed by now; the ending is not to be interrupted any more.
        self._log_pending()
        await self._end()

    async def _read(self) -> None:
        self._begun = True
        if self._cancelled or self._fenced or self._failure is not None:
            return
        with suppress(_Full):
            await self._source.stream(self._take)
        # An upstream may have said all before the pause was known; its end waits for the resume too.
        await self._unpaused.wait()

    def _take(self, events: Sequence[ProviderEvent]) -> None:
        """Called within the read that brought them."""
        if self.generation.feed(events) and not self._flush_planned:
            if not self._pace.started:
                self._begin()
            self._flush_planned = True
            self._clock.flush_soon(self)
        if self.generation.full:
            raise _Full

    def tell(self, note: Note) -> None:
        """Logged at once; what came before it first, but for a pause. It is no token."""
        if self._reading and (event := self.generation.tell(note)) is not None:
            if self.paused_since is None:
                self._log_pending()
            self._log.append(self.stream, *event)

    def _begin(self) -> None:
        """The first token has come."""
        self._pace.started = True
        now = self._last_event = self._loop.time()
        if self.generation.first_token is None:
            self.generation.begin(now)
            self._run.first_token(now - self.generation.started)

    def flush(self) -> None:
        """Called by the clock: logs what has come, unless the generation is paused."""
        self._flush_planned = False
        if self._reading and self.paused_since is None:
            now = self._clock.now
            if now - self._last_event > self._longest_gap:
                self._longest_gap = now - self._last_event
            self._last_event = now
            self._log_pending()

    def report_gap(self, now: float) -> None:
        """Tells the observer the longest time without an event since the last call, one that still lasts included."""
        if self._pace.started and self._reading and self.paused_since is None:
            self._longest_gap = max(self._longest_gap, now - self._last_event)
        if self._longest_gap:
            self._run.gap(self._longest_gap)
            self._longest_gap = 0.0

    def _log_pending(self) -> None:
        for event, data in self.generation.take_events():
            self._log.append(self.stream, event, data)

    async def _end(self) -> None:
        outcome = self._outcome()
        # The transcript has been handed over: until the end is out, this is what old cursors get.
        self.stream.snapshot = partial(snapshot_of, outcome)
        finished_at = datetime.now(UTC)
        words = self._job.words(outcome.error) if outcome.error is not None else ""
        ending = Ending(
            self.generation.id,
            self._job.epoch,
            self.stream.appended + 1,
            outcome,
            words,
            finished_at,
            self._source.provider,
            self._source.model,
            self._source.upstream,
        )
        committed = await self._commit(ending)
        if committed is None or (self._fenced and not committed):
            self._report_end(outcome, committed=False)
            await self._log.abandon(self.stream)
            return
        if committed:
            self._log.append(self.stream, *terminal_event(outcome, words, finished_at))
        else:
            self._log.append(self.stream, *interruption(self._job.words(GenerationFailed(ErrorCode.INTERRUPTED))))
        self._log.end(self.stream)
        self._report_end(outcome, committed)

    async def _leave_to_others(self) -> None:
        """Another worker has taken this generation: what is said of it is said there."""
        self.generation.take_events()
        lost = self.generation.fail(GenerationFailed(ErrorCode.INTERRUPTED), self._loop.time())
        self._report_end(lost, committed=False)
        await self._log.abandon(self.stream)

    def _report_end(self, outcome: Outcome, committed: bool) -> None:
        self._run.ended(
            Ended(
                outcome.status,
                self._source.provider,
                self._source.model,
                self._source.upstream,
                outcome.usage,
                outcome.error,
                outcome.first_token_ms,
                outcome.duration_ms,
                committed,
            )
        )

    def _outcome(self) -> Outcome:
        now = self._loop.time()
        if self._cancelled:
            return self.generation.cancel(now)
        if self._failure is not None:
            return self.generation.fail(self._failure, now)
        return self.generation.conclude(now)

    async def _commit(self, ending: Ending) -> bool | None:
        """None: another worker has taken the generation, where others can; False: the database is away."""
        delay = COMMIT_BACKOFF
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                committed = await self._store.finish(ending)
                return None if not committed and self._log.shared else committed
            except Exception:
                logger.exception("generation %s: ending not committed, attempt %d", ending.generation, attempt + 1)
                await asyncio.sleep(delay)
                delay *= 2
        return False

    # Commands

    async def stop(self) -> None:
        """Ends the run, its text kept, and returns when the terminal event is out. A second stop changes nothing."""
        self.cancel()
        await self.ended()

    def cancel(self) -> None:
        """The same without waiting."""
        if self._reading and not self._cancelled and not self._fenced and self._failure is None:
            self._cancelled = True
            self._interrupt_task()

    def interrupt(self) -> None:
        """The worker is going: ends the run as interrupted."""
        if self._reading and not self._cancelled and not self._fenced and self._failure is None:
            self._failure = GenerationFailed(ErrorCode.INTERRUPTED)
            self._interrupt_task()

    def fence(self) -> None:
        """Another worker has taken this generation: it ends here without a word."""
        interrupted = self._cancelled or self._fenced or self._failure is not None
        self._fenced = True
        if self._reading and not interrupted:
            self._interrupt_task()

    def pause(self) -> None:
        """Reads and logs no further; the upstream waits."""
        if self._reading and self.generation.pause():
            self._log_pending()
            self.paused_since = self._loop.time()
            self._pace.paused = True
            self._unpaused.clear()
            self._source.watch.suspend()

    def resume(self) -> None:
        if self._reading and self.generation.resume():
            self.paused_since = None
            self._last_event = self._loop.time()
            self._source.watch.resume()
            self._log_pending()
            self._pace.unpause()
            self._unpaused.set()

    async def ended(self) -> None:
        assert self.task is not None
        await asyncio.wait([self.task])

    def check_deadlines(self, now: float) -> None:
        if self._reading and self.paused_since is None:
            self._source.watch.check(now)

    def partial(self) -> Partial | None:
        """What the store does not have yet; None once the ending has begun, which brings it all."""
        if not self._reading:
            return None
        generation = self.generation
        unsaved = generation.take_unsaved(self.stream.appended)
        return Partial(
            generation.id,
            self._job.epoch,
            generation.status,
            unsaved.seq,
            unsaved.text,
            unsaved.reasoning,
            generation.first_token_ms,
            self._source.provider,
            self._source.model,
            self._source.upstream,
            unsaved.notes,
        )

    def _interrupt_task(self) -> None:
        # A task that has not begun would be cancelled before it could end properly; it looks itself when it begins.
        if self._begun and self.task is not None:
            self.task.cancel()
