"""The usual way to measure: all of a case's servers run, and each gets the load in its turn.

In turns, so that a machine that slows down meanwhile slows down all of them.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import measurement, profiler
from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.generators import Generator
from benchmarks.measurement import Figures, Run
from benchmarks.stage import Contender, Stage
from benchmarks.workload import WARM_UP, Workload

FIRST_TOKEN_P50, FIRST_TOKEN_P99 = "first token, p50", "first token, p99"


def in_turns(stage: Stage, case: Case) -> Outcome:
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(stage.contender(entrant, case.workload.plan))
            for entrant in case.entrants
            if stage.has(entrant)
        ]
        return Outcome(loaded(stage, case, contenders))


def first_tokens(stage: Stage, case: Case) -> Outcome:
    """The same, where the time to our first token is what counts."""
    outcome = in_turns(stage, case)
    ours = outcome.figures[0]
    outcome.quantities += [
        Quantity(case.name, FIRST_TOKEN_P50, ours.first_token_ms_p50, "ms"),
        Quantity(case.name, FIRST_TOKEN_P99, ours.first_token_ms_p99, "ms"),
    ]
    return outcome


def loaded(stage: Stage, case: Case, contenders: list[Contender], generator: Generator | None = None) -> list[Figures]:
    """Warms each up, and measures each as often as is asked for; records ours once more where that is asked for.
    `generator`: not the stage's own."""
    generator = generator or stage.generator
    for contender in contenders:
        warm_up(stage, contender, WARM_UP, generator)
    runs: list[list[Run]] = [[] for _ in contenders]
    repeat = stage.settings.repeat
    for number in range(repeat):
        for contender, its_runs in zip(contenders, runs, strict=True):
            job = contender.job(case.workload)
            run = measurement.measured_together(generator, job, contender.counted, contender.beside)
            words = f"{case.name}, {contender.name}, run {number + 1} of {repeat}"
            print(f"{words}: {run.cpu_us_per_token:.1f} µs a token", flush=True)
            its_runs.append(run)
    if stage.settings.profile is not None:
        with profiler.recording(stage.settings, contenders[0].process.pid, case.name):
            generator.begin(contenders[0].job(case.workload)).report()
    return [
        measurement.figures(case.name, contender.name, its_runs)
        for contender, its_runs in zip(contenders, runs, strict=True)
    ]


def warm_up(stage: Stage, contender: Contender, workload: Workload, generator: Generator | None = None) -> None:
    problems = (generator or stage.generator).begin(contender.job(workload)).report().problems
    if problems:
        raise CannotMeasure(f"the server {contender.name!r} fails its warm-up: {problems}")
