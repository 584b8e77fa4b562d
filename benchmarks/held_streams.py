"""How many paced streams two workers hold on this machine, load and all: crowd by crowd, each larger than the last.

Every other reply is the second worker's. Its reader is there too, or on the other worker, which reads it from Redis.
"""

from __future__ import annotations

from benchmarks import measurement
from benchmarks.case import Case, Outcome, Quantity
from benchmarks.generators import PythonLoad
from benchmarks.measurement import Figures
from benchmarks.stage import Stage
from benchmarks.turns import warm_up
from benchmarks.workers import WORKERS, workers
from benchmarks.workload import WARM_UP

HELD = "streams held"
DELAY_P99_MS = 300.0
PARTS = (0.25, 0.5, 0.75, 1.0)
"""Of the case's streams, one crowd after the other."""


def readers_on_the_owner(stage: Stage, case: Case) -> Outcome:
    return _measured(stage, case, across=False)


def readers_on_the_other(stage: Stage, case: Case) -> Outcome:
    return _measured(stage, case, across=True)


def _measured(stage: Stage, case: Case, *, across: bool) -> Outcome:
    entrant = case.entrants[0]
    crowds: list[Figures] = []
    generator = PythonLoad()
    with workers(stage, case.workload.plan, entrant.environment) as site:
        place = site.across if across else site.at
        contender = site.contender(entrant.name, *map(place, range(WORKERS)))
        warm_up(stage, contender, WARM_UP, generator)
        for part in PARTS:
            workload = case.workload._replace(streams=round(case.workload.streams * part))
            runs = []
            for _ in range(stage.settings.repeat):
                job = contender.job(workload)
                run = measurement.measured_together(generator, job, contender.counted, contender.beside)
                runs.append(run)
                print(f"{case.name}, {workload.streams} streams: delay p99 {run.load.delay_ms_p99:.0f} ms", flush=True)
            crowds.append(measurement.figures(case.name, entrant.name, runs))
    return Outcome(crowds, [Quantity(case.name, HELD, float(held(crowds)))])


def held(crowds: list[Figures]) -> int:
    """Of the largest crowd without fault and with a delay that is short enough; 0 for none."""
    good = [each.streams for each in crowds if each.success == 1 and each.delay_ms_p99 < DELAY_P99_MS]
    return max(good, default=0)
