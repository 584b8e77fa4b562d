"""What the engine reports, as metrics for Prometheus: counted in the process, shown as text.

With PROMETHEUS_MULTIPROC_DIR in the environment every process of the host counts in files there, and any of them shows
the sum. prometheus_client reads the variable when it is imported: it must be there before this file is.

The values of labels are bounded: providers and models come from the configuration and are checked before a generation
starts, statuses and codes are enums, transports are ours. Nothing that a person chose is ever one.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from chat.events import StartData, Status
from chat.metrics.measured_run import MeasuredRun
from chat.metrics.process import ProcessMetrics
from chat.metrics.process_files import FILES, forget_the_dead, leave
from chat.metrics.replies import ReplyMetrics
from chat.metrics.upstreams import UpstreamMetrics
from chat.observation import Lost, Observer, Run, Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# A time for each counter would be twice the text, and no alert asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(Observer):
    """`expect` what can be asked for, `exposition` for each scrape, `close` when the process ends."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        if FILES is not None:
            forget_the_dead(Path(FILES))
        self._process = ProcessMetrics(self._registry)
        self._replies = ReplyMetrics(self._registry)
        self._upstreams = UpstreamMetrics(self._registry)

    def expect(self, provider: str, model: str) -> None:
        """Shows its series from now on, at 0: a counter that first appears with 1 has no rate, and no alert sees it."""
        self._replies.model(provider, model)
        self._upstreams.breaker(provider, model)

    def exposition(self) -> bytes:
        """All metrics as CONTENT_TYPE. For a thread: it reads files where there are several processes."""
        if FILES is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """Takes this process's gauges out of the sums; its counters stay in them."""
        leave()

    # The observer

    def started(self, start: StartData, account: str) -> Run:
        run = MeasuredRun(self._replies, self._upstreams, start.provider, start.model)
        run.model.started.inc()
        return run

    def lost(self, lost: Lost) -> None:
        self._replies.model(lost.provider, lost.model).ended[Status.INTERRUPTED].inc()

    def sampled(self, sample: Sample) -> None:
        self._process.sampled(sample)
        self._upstreams.sampled(sample.upstreams)
