"""What a process is asked for once a second: its readers, its event log, its loop and its database."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from chat.observation import Sample

TRANSPORTS = ("sse", "websocket")
"""Shown from the start; others once they are seen."""


class ProcessMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
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
        self._tasks = Gauge(
            "chat_event_loop_tasks", "Tasks of the event loop: they grow with the load, and go with it.",
            registry=registry, multiprocess_mode="livesum",
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
        self._last = Sample(0)
        self._transports = set(TRANSPORTS)
        self.sampled(self._last)

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
        self._tasks.set(sample.tasks)
        self._writes_waiting.set(sample.writes_waiting)
        self._dropped.inc(sample.dropped - self._last.dropped)
        self._transactions.inc(sample.transactions - self._last.transactions)
        self._writes.inc(sample.writes - self._last.writes)
        self._last = sample
