"""What it costs to be watched: metrics, traces and logs on, against all of them off, in turns."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import httpx

from benchmarks import measurement
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.measurement import Run
from benchmarks.process import HARNESS_CORE, ListeningProcess, free_port
from benchmarks.stage import Contender, Stage
from benchmarks.turns import warm_up
from benchmarks.workload import WARM_UP

ROUNDS = 3
"""For each repetition."""

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


def _round(stage: Stage, case: Case, contenders: list[Contender], number: int) -> list[Run]:
    """One run of each, every other time from the last to the first: a machine that gets slower favours nobody."""
    order = contenders[::-1] if number % 2 else contenders
    runs: dict[str, Run] = {}
    for contender in order:
        run = measurement.measured(stage.generator, contender.job(case.workload), contender.process.pid)
        print(f"{case.name}, {contender.name}, round {number + 1}: {run.cpu_us_per_token:.1f} µs a token", flush=True)
        runs[contender.name] = run
    return [runs[contender.name] for contender in contenders]


def _overhead(rounds: list[list[Run]], place: int) -> float:
    """Per cent, over the last contender of the same round, on average: what is looked for is smaller than what the
    machine itself does from one minute to the next."""
    ratios = [runs[place].cpu_us_per_token / runs[-1].cpu_us_per_token for runs in rounds]
    return round((fmean(ratios) - 1) * 100, 1)


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
        for contender in contenders:
            warm_up(stage, contender, WARM_UP)
        rounds = [_round(stage, case, contenders, number) for number in range(ROUNDS * stage.settings.repeat)]
        traces, all_traces, no_traces = (httpx.get(_address(sink), trust_env=False).json()["bytes"] for sink in sinks)
    if not 0 < traces < all_traces or no_traces:
        raise CannotMeasure(f"{traces}, {all_traces} and {no_traces} bytes of traces have come: not what is measured")
    figures = [
        measurement.figures(case.name, contender.name, [runs[place] for runs in rounds])
        for place, contender in enumerate(contenders)
    ]
    return Outcome(
        figures,
        [
            Quantity(case.name, OVERHEAD, _overhead(rounds, 0), "%"),
            Quantity(case.name, "overhead with every trace", _overhead(rounds, 1), "%"),
            Quantity(case.name, "traces", traces / 1000, "KB"),
        ],
    )
