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
"""Where the traces go: a sink on the harness's core."""


def measure(stage: Stage, case: Case) -> Outcome:
    """`case.entrants`: the watched one, the one of which every trace is kept, and the one that is not watched."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-traces-")))
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.trace_sink", str(port)]
        stack.enter_context(ListeningProcess(command, port, HARNESS_CORE, directory / "sink.log"))
        sink = f"http://127.0.0.1:{port}"
        contenders = [
            stack.enter_context(
                stage.contender(
                    replace(entrant, environment={**entrant.environment, ENDPOINT: sink}), case.workload.plan
                )
            )
            for entrant in case.entrants
        ]
        figures = loaded(stage, case, contenders)
        traces = httpx.get(sink, trust_env=False).json()["bytes"]
    if not traces:
        raise CannotMeasure("no trace has come to the sink: being watched would cost nothing")
    watched, every_trace, unwatched = (figure.cpu_us_per_token for figure in figures)
    return Outcome(
        figures,
        [
            Quantity(case.name, OVERHEAD, round((watched / unwatched - 1) * 100, 1), "%"),
            Quantity(case.name, "overhead with every trace", round((every_trace / unwatched - 1) * 100, 1), "%"),
            Quantity(case.name, "traces", traces / 1000, "KB"),
        ],
    )
