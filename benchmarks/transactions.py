"""How many database transactions and writes a generation needs, by the server's own counters at /metrics."""

from __future__ import annotations

import re
import time
from statistics import median

import httpx

from benchmarks import measurement
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.stage import Stage
from benchmarks.turns import warm_up
from benchmarks.workload import WARM_UP

TRANSACTIONS = "transactions a generation"
COUNTERS = {
    TRANSACTIONS: "chat_database_transactions_total",
    "writes a generation": "chat_database_writes_total",
}

CATCH_UP_SECONDS = 2.5
"""The server brings its counters up to date about once a second; and the last write comes after the last byte."""

_SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})? (?P<value>\S+)(?: \d+)?")


def measure(stage: Stage, case: Case) -> Outcome:
    entrant = case.entrants[0]
    runs, counts = [], []
    with stage.contender(entrant, case.workload.plan) as contender:
        address = f"http://127.0.0.1:{contender.process.port}/metrics"
        _read(address)  # before the long part, where it is not there
        warm_up(stage, contender, WARM_UP)
        for _ in range(stage.settings.repeat):
            time.sleep(CATCH_UP_SECONDS)
            before = _read(address)
            runs.append(measurement.measured(stage.generator, contender.job(case.workload), contender.process.pid))
            time.sleep(CATCH_UP_SECONDS)
            after = _read(address)
            counts.append({name: (after[name] - before[name]) / case.workload.streams for name in COUNTERS})
            print(f"{case.name}: {', '.join(f'{value:.2f} {name}' for name, value in counts[-1].items())}", flush=True)
    return Outcome(
        [measurement.figures(case.name, entrant.name, runs)],
        [Quantity(case.name, name, round(median(count[name] for count in counts), 2)) for name in COUNTERS],
    )


def total(metrics: str, counter: str) -> float:
    """The sum over its labels, in Prometheus' text format. Raises CannotMeasure where it is not there."""
    values = [
        float(match["value"])
        for line in metrics.splitlines()
        if (match := _SAMPLE.fullmatch(line)) and match["name"] == counter
    ]
    if not values:
        raise CannotMeasure(f"the server's /metrics has no counter {counter}")
    return sum(values)


def _read(address: str) -> dict[str, float]:
    answer = httpx.get(address, trust_env=False)
    if answer.status_code != 200:
        raise CannotMeasure(f"the server's /metrics answers {answer.status_code}: its counters are what is read")
    return {name: total(answer.text, counter) for name, counter in COUNTERS.items()}
