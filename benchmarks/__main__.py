"""`python -m benchmarks [CASE …]`: what a token costs this project's server, beside plain relays, in one run.

`benchmarks/cases.py` has the cases, `benchmarks/settings.py` the environment, `benchmarks/limits.py` what may not be
exceeded. Ends with 1 where something is, where a stream had a fault, or where a case could not be measured; and with 2
where it was called wrongly.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import cases, go_tools, profiler, settings
from benchmarks.case import CannotMeasure, Case, NotInstalled, Outcome
from benchmarks.chat_site import ChatSite
from benchmarks.generators import Generator, GoLoad, PythonLoad
from benchmarks.results import Results, collect
from benchmarks.settings import Settings
from benchmarks.sqlite_database import SqliteDatabase
from benchmarks.stage import Stage

STREAMS_PER_USER = 8
"""Until the load generator's users are used up: as many live replies as one user may have by default."""


def main(arguments: list[str]) -> int:
    try:
        asked = settings.from_environment(os.environ)
        chosen = cases.chosen(arguments)
        go = go_tools.build(asked.relays) if asked.relays else None
        if asked.profile:
            profiler.program(asked.profile)
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    generator: Generator = GoLoad(go.load) if go and asked.load == "go" else PythonLoad()
    results = run(chosen, asked, generator, go)
    results.save(asked.results)
    print(f"\n{results.conditions()}\n\n{results.tables()}\n", flush=True)
    for fault in results.faults():
        print(fault, file=sys.stderr)
    return 1 if results.faults() else 0


def run(chosen: list[Case], asked: Settings, generator: Generator, go: go_tools.GoTools | None) -> Results:
    """Each case with fresh servers; a case that fails leaves the others their turn."""
    outcomes: list[Outcome] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="chat-benchmark-") as name:
        directory = Path(name)
        workloads = [case.workload.as_asked(asked) for case in chosen]
        users = min(generator.users, -(-max(workload.streams for workload in workloads) // STREAMS_PER_USER))
        site = ChatSite(directory, asked.server, users, SqliteDatabase(directory))
        for case, workload in zip(chosen, workloads, strict=True):
            room = directory / case.name
            room.mkdir()
            case = Case(case.name, workload, case.entrants, case.measure)
            try:
                with Stage(room, asked, site, generator, go) as stage:
                    outcomes.append(case.measure(stage, case))
            except NotInstalled as error:
                print(f"{case.name} is left out: {error}", file=sys.stderr, flush=True)
            except (CannotMeasure, RuntimeError) as error:
                print(f"{case.name}: {error}", file=sys.stderr, flush=True)
                failures.append(f"{case.name}: {error}")
    return collect(outcomes, failures, asked.repeat, asked.load)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
