"""What an open stream holds: the growth of a fresh server's resident memory, in KB a stream, while all are open.

Fresh each time: a server that has had its first crowd uses again what that crowd left. The streams bring few and slow
tokens, so that their text is next to nothing of it.
"""

from __future__ import annotations

from statistics import median

from benchmarks import resident_memory
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.model_name import Plan
from benchmarks.stage import Stage
from benchmarks.turns import warm_up
from benchmarks.workload import Workload

COST = "memory of a stream"
FIRST_FEW = Workload(8, Plan(50, 0), 0.2)
"""The modules and caches that the first request fills are not a stream's, and eight streams leave little behind."""


def measure(stage: Stage, case: Case) -> Outcome:
    quantities = []
    for entrant in filter(stage.has, case.entrants):
        growths = []
        for _ in range(stage.settings.repeat):
            with stage.contender(entrant, case.workload.plan) as contender:
                warm_up(stage, contender, FIRST_FEW)
                pid = contender.process.pid
                resident_memory.forget_peak(pid)
                before = resident_memory.now(pid)
                problems = stage.generator.begin(contender.job(case.workload)).report().problems
                if problems:
                    raise CannotMeasure(f"the server {contender.name!r}: {problems}")
                growths.append((resident_memory.peak(pid) - before) / case.workload.streams)
        print(f"{case.name}, {entrant.name}: {', '.join(f'{kb:.0f}' for kb in growths)} KB a stream", flush=True)
        name = COST if entrant.kind == "ours" else f"{COST}, {entrant.name}"
        quantities.append(Quantity(case.name, name, round(median(growths), 1), "KB"))
    return Outcome([], quantities)
