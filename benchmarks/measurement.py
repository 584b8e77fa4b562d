"""One measured run: the load at work against a server, and what that cost the server. And the medians of several."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

import msgspec

from benchmarks import cpu_time
from benchmarks.generators import Generator
from benchmarks.job import Job, Report

SETTLE_SECONDS = 1.0
"""Before the second reading: what a server still does for the replies after their last byte is part of the price."""


class Run(msgspec.Struct):
    """`parts`: what each process took, µs a token."""

    cpu_us_per_token: float
    load: Report
    parts: dict[str, float] = {}


class Figures(msgspec.Struct):
    """Of one server in one case: the medians of its runs, times in ms, CPU in µs. `success`: the part of the streams
    that were without fault, in all runs."""

    case: str
    server: str
    streams: int
    cpu_us_per_token: float
    events_per_token: float
    first_token_ms_p50: float
    first_token_ms_p99: float
    delay_ms_p50: float
    delay_ms_p99: float
    success: float
    runs: list[Run]


def measured(generator: Generator, job: Job, server: int) -> Run:
    """`server`: the id of its process."""
    return measured_together(generator, job, {"server": server}, {})


def measured_together(generator: Generator, job: Job, counted: Mapping[str, int], beside: Mapping[str, int]) -> Run:
    """Several processes by their ids: the figure is what those `counted` took; of those `beside`, it is only told."""
    processes = {**counted, **beside}
    before = {name: cpu_time.seconds(pid) for name, pid in processes.items()}
    report = generator.begin(job).report()
    time.sleep(SETTLE_SECONDS)
    parts = {
        name: round((cpu_time.seconds(pid) - before[name]) * 1e6 / max(report.tokens, 1), 2)
        for name, pid in processes.items()
    }
    return Run(cpu_us_per_token=round(sum(parts[name] for name in counted), 2), load=report, parts=parts)


def figures(case: str, server: str, runs: list[Run]) -> Figures:
    reports = [run.load for run in runs]
    return Figures(
        case=case,
        server=server,
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
