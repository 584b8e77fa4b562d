"""What a start costs: from the request to the upstream's first byte, the server's CPU in ms a stream.

The upstream sends its head and the role at once, and then nothing for so long that all streams stand open and idle for
a while. From the CPU of the time in which they are opened goes that of as much idle time, which pays for being there.
"""

from __future__ import annotations

import time
from statistics import median

from benchmarks import cpu_time
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.stage import Contender, Stage
from benchmarks.turns import warm_up
from benchmarks.workload import WARM_UP, Workload

COST = "CPU of a start"
OPENING_MARGIN_SECONDS = 1.0
"""For the load generator's own start, and the server's work for the last stream."""


def opening_seconds(workload: Workload) -> float:
    return workload.ramp_seconds + OPENING_MARGIN_SECONDS


def measure(stage: Stage, case: Case) -> Outcome:
    held, needed = case.workload.plan.held_seconds, 2 * opening_seconds(case.workload)
    if held <= needed:
        raise CannotMeasure(f"the streams are held for {held} s: with this ramp more than {needed} s are wanted")
    quantities = []
    for entrant in filter(stage.has, case.entrants):
        with stage.contender(entrant, case.workload.plan) as contender:
            warm_up(stage, contender, WARM_UP)
            costs = [_cost_ms(stage, case.workload, contender) for _ in range(stage.settings.repeat)]
        print(f"{case.name}, {entrant.name}: {', '.join(f'{cost:.2f}' for cost in costs)} ms a start", flush=True)
        name = COST if contender.kind == "ours" else f"{COST}, {entrant.name}"
        quantities.append(Quantity(case.name, name, round(median(costs), 3), "ms"))
    return Outcome([], quantities)


def _cost_ms(stage: Stage, workload: Workload, contender: Contender) -> float:
    seconds, pid = opening_seconds(workload), contender.process.pid
    at_first = cpu_time.seconds(pid)
    under_way = stage.generator.begin(contender.job(workload))
    time.sleep(seconds)
    opened = cpu_time.seconds(pid)
    time.sleep(seconds)
    idled = cpu_time.seconds(pid)
    problems = under_way.report().problems
    if problems:
        raise CannotMeasure(f"the server {contender.name!r}: {problems}")
    return ((opened - at_first) - (idled - opened)) / workload.streams * 1000
