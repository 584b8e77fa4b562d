"""What the engine reports, as metrics for Prometheus: counted in the process, shown as text.

With PROMETHEUS_MULTIPROC_DIR in the environment every process of the host counts in files there, and any of them shows
the sum. prometheus_client reads the variable when it is imported: it must be there before this file is.

The values of labels are bounded: providers and models come from the configuration and are checked before a generation
starts, statuses and codes are enums, transports are ours. Nothing that a person chose is ever one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from chat.errors import ErrorCode, GenerationFailed
from chat.events import ENDED, StartData, Status
from chat.observation import Attempt, Ended, Lost, Observer, Run, Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

TRANSPORTS = ("sse", "websocket")
"""Shown from the start; others once they are seen."""

FIRST_TOKEN_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
GAP_BUCKETS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)
DURATION_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds. What an alert compares with is a bound: between two bounds a quantile is a guess."""

FILES = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

# A time for each counter would be twice the text, and no alert asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Model:
    """The series of one model of one provider, with their labels resolved: a lookup would cost more than the count."""

    started: Counter
    ended: dict[Status, Counter]
    tokens_in: Counter
    tokens_out: Counter
    first_token: Histogram
    duration: Histogram


@dataclass(frozen=True, slots=True)
class _Provider:
    errors: dict[ErrorCode, Counter]
    retries: Counter
    fallbacks: Counter
    gap: Histogram


NOTHING_SAID = frozenset({ErrorCode.EMPTY_REPLY, ErrorCode.CONTENT_FILTERED})
"""Failures that may show only once the upstream has ended as it should."""


class Metrics(Observer):
    """`expect` what can be asked for, `exposition` for each scrape, `close` when the process ends."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], _Model] = {}
        self._providers: dict[str, _Provider] = {}
        self._registry = registry = CollectorRegistry()
        if FILES is not None:
            _forget_the_dead(Path(FILES))

        self._streams = Gauge(
            "chat_streams_open", "Replies being followed.", ["transport"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._connections = Gauge(
            "chat_connections_open", "Connections that follow replies, or could.", ["transport"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._live = Gauge(
            "chat_generations_live", "Generations that run.", registry=registry, multiprocess_mode="livesum"
        )
        self._log_bytes = Gauge(
            "chat_log_bytes", "Memory that the events held take.", registry=registry, multiprocess_mode="livesum"
        )
        self._log_open = Gauge(
            "chat_log_open", "1, or 0 while the shared event log cannot be reached.",
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._flush_interval = Gauge(
            "chat_flush_interval_seconds", "Between two flushes of what has come; longer under load.",
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._loop_lag = Gauge(
            "chat_loop_lag_seconds", "How late the event loop was for its last sample.",
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._writes_waiting = Gauge(
            "chat_database_writes_waiting", "Writes that wait for the database.",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip

        self._dropped = Counter(
            "chat_readers_dropped_total", "Readers that took nothing for too long.", registry=registry
        )
        self._transactions = Counter("chat_database_transactions_total", "Transactions that wrote.", registry=registry)
        self._writes = Counter("chat_database_writes_total", "Writes; several share a transaction.", registry=registry)

        by_model = ["provider", "model"]
        self._started = Counter(
            "chat_generations_started_total", "Generations, by what was asked for.", by_model, registry=registry
        )
        self._ended = Counter(
            "chat_generations_total", "Ended generations, by who answered or was asked for.", [*by_model, "status"],
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "chat_tokens_total", "Tokens in and out; estimated where the upstream reports none.",
            [*by_model, "direction"], registry=registry,
        )  # fmt: skip
        self._first_token = Histogram(
            "chat_first_token_seconds", "From a generation's start to its first token.", by_model,
            registry=registry, buckets=FIRST_TOKEN_BUCKETS,
        )  # fmt: skip
        self._duration = Histogram(
            "chat_generation_seconds", "From a generation's start to its end.", by_model,
            registry=registry, buckets=DURATION_BUCKETS,
        )  # fmt: skip

        self._errors = Counter(
            "chat_upstream_errors_total", "Attempts that failed, by the code of the failure.", ["provider", "code"],
            registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "chat_upstream_retries_total", "Further attempts at the same provider.", ["provider"], registry=registry
        )
        self._fallbacks = Counter(
            "chat_upstream_fallbacks_total", "Generations that came to this provider as a fallback.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self._gap = Histogram(
            "chat_event_gap_seconds", "The longest time between two events, of each second of a stream.",
            ["provider"], registry=registry, buckets=GAP_BUCKETS,
        )  # fmt: skip

        self._last = Sample(0)
        self._transports = set(TRANSPORTS)
        self.sampled(self._last)

    def expect(self, provider: str, model: str) -> None:
        """Shows its series from now on, at 0: a counter that first appears with 1 has no rate, and no alert sees it."""
        self.model(provider, model)
        self.provider(provider)

    def exposition(self) -> bytes:
        """All metrics as CONTENT_TYPE. For a thread: it reads files where there are several processes."""
        if FILES is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """Takes this process's gauges out of the sums; its counters stay in them."""
        if FILES is not None:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    # The observer

    def started(self, start: StartData, account: str) -> Run:
        model = self.model(start.provider, start.model)
        model.started.inc()
        return _MeasuredRun(self, model, self.provider(start.provider))

    def lost(self, lost: Lost) -> None:
        self.model(lost.provider, lost.model).ended[Status.INTERRUPTED].inc()

    def sampled(self, sample: Sample) -> None:
        self._transports |= sample.streams.keys() | sample.connections.keys()
        for transport in self._transports:
            self._streams.labels(transport).set(sample.streams.get(transport, 0))
            self._connections.labels(transport).set(sample.connections.get(transport, 0))
        self._live.set(sample.generations)
        self._log_bytes.set(sample.log_bytes)
        self._log_open.set(sample.log_open)
        self._flush_interval.set(sample.flush_interval)
        self._loop_lag.set(sample.loop_lag)
        self._writes_waiting.set(sample.writes_waiting)
        self._dropped.inc(sample.dropped - self._last.dropped)
        self._transactions.inc(sample.transactions - self._last.transactions)
        self._writes.inc(sample.writes - self._last.writes)
        self._last = sample

    # The series of a provider and its model

    def model(self, provider: str, model: str) -> _Model:
        known = self._models.get((provider, model))
        if known is None:
            known = self._models[provider, model] = _Model(
                self._started.labels(provider, model),
                {status: self._ended.labels(provider, model, status.value) for status in sorted(ENDED)},
                self._tokens.labels(provider, model, "in"),
                self._tokens.labels(provider, model, "out"),
                self._first_token.labels(provider, model),
                self._duration.labels(provider, model),
            )
        return known

    def provider(self, provider: str) -> _Provider:
        known = self._providers.get(provider)
        if known is None:
            known = self._providers[provider] = _Provider(
                {code: self._errors.labels(provider, code.value) for code in ErrorCode},
                self._retries.labels(provider),
                self._fallbacks.labels(provider),
                self._gap.labels(provider),
            )
        return known


class _MeasuredRun(Run):
    """`model` and `provider`: what was asked for, then who answers."""

    __slots__ = ("error_counted", "metrics", "model", "provider")

    def __init__(self, metrics: Metrics, model: _Model, provider: _Provider) -> None:
        self.metrics = metrics
        self.model = model
        self.provider = provider
        self.error_counted = False

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        asked = self.metrics.provider(provider)
        if number > 1:
            asked.retries.inc()
        elif fallback:
            asked.fallbacks.inc()
        return _MeasuredAttempt(self, self.metrics.model(provider, model), asked)

    def first_token(self, seconds: float) -> None:
        self.model.first_token.observe(seconds)

    def gap(self, seconds: float) -> None:
        self.provider.gap.observe(seconds)

    def ended(self, ended: Ended) -> None:
        model = self.metrics.model(ended.provider, ended.model)
        # Where the database does not have it, readers were told that it was interrupted.
        model.ended[ended.status if ended.committed else Status.INTERRUPTED].inc()
        model.duration.observe(ended.duration_ms / 1000)
        if ended.status is Status.CANCELLED and ended.first_token_ms is None:
            # Who gave up has waited for so long at least.
            model.first_token.observe(ended.duration_ms / 1000)
        if ended.error is not None and ended.error.error_code in NOTHING_SAID and not self.error_counted:
            self.provider.errors[ended.error.error_code].inc()
        # An estimate for what nobody answered would be of tokens that nobody took.
        if not ended.usage.estimated or ended.first_token_ms is not None:
            model.tokens_in.inc(ended.usage.input_tokens)
            model.tokens_out.inc(ended.usage.output_tokens)


class _MeasuredAttempt(Attempt):
    __slots__ = ("_model", "_provider", "_run")

    def __init__(self, run: _MeasuredRun, model: _Model, provider: _Provider) -> None:
        self._run = run
        self._model = model
        self._provider = provider

    def answered(self) -> None:
        self._run.model, self._run.provider = self._model, self._provider

    def ended(self, error: GenerationFailed | None) -> None:
        self._run.error_counted = error is not None
        if error is not None:
            self._provider.errors[error.error_code].inc()


def _forget_the_dead(directory: Path) -> None:
    """A worker that was killed could not take its gauges out: whoever starts next does."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            with suppress(FileNotFoundError):  # another worker may be at it too
                mark_process_dead(int(pid))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
