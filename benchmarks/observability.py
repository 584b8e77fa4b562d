"""What it costs to be watched: metrics, traces and logs on, against all of them off, in turns."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.process import HARNESS_CORE, ListeningProcess, free_port
from benchmarks.stage import Stage
from benchmarks.turns import loaded

OVERHEAD = "overhead of being watched"

WATCHED = {
    "CHAT_METRICS": "on",
    "CHAT_TRACES": "on",
    "CHAT_REQUEST_LOG": "on",
    "LOG_FORMAT": "json",
}
UNWATCHED = {
    "CHAT_METRICS": "off",
    "CHAT_TRACES": "off",
    "CHAT_REQUEST_LOG": "off",
    "LOG_FORMAT": "json",
}
EVERY_TRACE = {**WATCHED, "OTEL_TRACES_SAMPLER": "parentbased_always_on"}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where the traces go: to a sink each, on the harness's core."""


def _sink(log: Path) -> ListeningProcess:
    port = free_port()
    return ListeningProcess([sys.executable, "-m", "benchmarks.trace_sink", str(port)], port, HARNESS_CORE, log)


def _address(sink: ListeningProcess) -> str:
    return f"http://127.0.0.1:{sink.port}"


def measure(stage: Stage, case: Case) -> Outcome:
    """`case.entrants`: the watched one, the one of which every trace is kept, and the one that is not watched."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-traces-")))
        sinks = [stack.enter_context(_sink(directory / f"sink-{number}.log")) for number in range(len(case.entrants))]
        contenders = [
            stack.enter_context(
                stage.contender(
                    replace(entrant, environment={**entrant.environment, ENDPOINT: _address(sink)}), case.workload.plan
                )
            )
            for entrant, sink in zip(case.entrants, sinks, strict=True)
        ]
        figures = loaded(stage, case, contenders)
        traces, all_traces, no_traces = (httpx.get(_address(sink), trust_env=False).json()["bytes"] for sink in sinks)
    if not 0 < traces < all_traces or no_traces:
        raise CannotMeasure(f"{traces}, {all_traces} and {no_traces} bytes of traces have come: not what is measured")
    watched, every_trace, unwatched = (figure.cpu_us_per_token for figure in figures)
    return Outcome(
        figures,
        [
            Quantity(case.name, OVERHEAD, round((watched / unwatched - 1) * 100, 1), "%"),
            Quantity(case.name, "overhead with every trace", round((every_trace / unwatched - 1) * 100, 1), "%"),
            Quantity(case.name, "traces", traces / 1000, "KB"),
        ],
    )
