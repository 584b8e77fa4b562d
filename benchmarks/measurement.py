"""One measured run: the load generator at work against a server, and what that cost the server's CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import msgspec

from benchmarks import cpu_time
from benchmarks.load import Job, Report
from benchmarks.process import HARNESS_CORE, ROOT, tied_to

SETTLE_SECONDS = 1.0
"""Before the second reading: what a server still does for the replies after their last byte is part of the price."""


class Run(msgspec.Struct):
    cpu_us_per_token: float
    load: Report


class Figures(msgspec.Struct):
    """Of one case: the medians of its runs. `success`: the part of the streams that were without fault, in all runs."""

    case: str
    streams: int
    cpu_us_per_token: float
    events_per_token: float
    first_token_ms_p50: float
    first_token_ms_p99: float
    delay_ms_p50: float
    delay_ms_p99: float
    success: float
    runs: list[Run]


def load(job: Job) -> Report:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        preexec_fn=tied_to(HARNESS_CORE),
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Report)


def measured(job: Job, server: int) -> Run:
    before = cpu_time.seconds(server)
    report = load(job)
    time.sleep(SETTLE_SECONDS)
    spent = cpu_time.seconds(server) - before
    return Run(cpu_us_per_token=round(spent * 1e6 / max(report.tokens, 1), 2), load=report)


def figures(case: str, runs: list[Run]) -> Figures:
    reports = [run.load for run in runs]
    return Figures(
        case=case,
        streams=reports[0].streams,
        cpu_us_per_token=median(run.cpu_us_per_token for run in runs),
        events_per_token=round(median(report.events / max(report.tokens, 1) for report in reports), 2),
        first_token_ms_p50=median(report.first_token_ms_p50 for report in reports),
        first_token_ms_p99=median(report.first_token_ms_p99 for report in reports),
        delay_ms_p50=median(report.delay_ms_p50 for report in reports),
        delay_ms_p99=median(report.delay_ms_p99 for report in reports),
        success=sum(report.good for report in reports) / sum(report.streams for report in reports),
        runs=runs,
    )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "tied": tied_to(HARNESS_CORE) is not None,
        "python": sys.version.split()[0],
        "kernel": os.uname().release,
    }
