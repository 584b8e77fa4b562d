"""What a token costs two workers with Redis and PostgreSQL: its reader on the worker that runs the reply, or the other.

The figure counts both workers and Redis. PostgreSQL is told beside it, and so is each part.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from benchmarks.case import Case, Outcome, Quantity
from benchmarks.generators import Generator, PythonLoad
from benchmarks.measurement import Figures
from benchmarks.stage import Stage
from benchmarks.turns import loaded
from benchmarks.workers import workers

PART = "CPU of a token"


def readers_on_the_owner(stage: Stage, case: Case) -> Outcome:
    return _measured(stage, case, stage.generator, across=False)


def readers_on_the_other(stage: Stage, case: Case) -> Outcome:
    """The load generator held here alone can ask at one place and read at another: the peer gets it too."""
    return _measured(stage, case, PythonLoad(), across=True)


def _measured(stage: Stage, case: Case, generator: Generator, *, across: bool) -> Outcome:
    ours, *peers = case.entrants
    plan = case.workload.plan
    with ExitStack() as stack:
        site = stack.enter_context(workers(stage, plan, ours.environment))
        contenders = [
            site.contender(ours.name, *([site.across(0)] if across else [])),
            *(stack.enter_context(stage.contender(peer, plan)) for peer in peers if stage.has(peer)),
        ]
        figures = loaded(stage, case, contenders, generator)
    return Outcome(figures, parts(figures[0]))


def parts(figures: Figures) -> list[Quantity]:
    """Of each process, in the order in which they were named."""
    return [
        Quantity(figures.case, f"{PART}, {name}", round(median(run.parts[name] for run in figures.runs), 1), "µs")
        for name in figures.runs[0].parts
    ]
