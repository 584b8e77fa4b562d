"""What two workers ask of Redis and PostgreSQL: memory for a live reply, bytes for a token, writes for a reply.

Every reader is on the other worker, so that all that is written is read once.
"""

from __future__ import annotations

import time

from benchmarks.case import CannotMeasure, Case, Outcome, Quantity
from benchmarks.generators import PythonLoad
from benchmarks.measurement import SETTLE_SECONDS
from benchmarks.redis_server import RedisServer
from benchmarks.stage import Contender, Stage
from benchmarks.turns import warm_up
from benchmarks.workers import Workers, workers
from benchmarks.workload import WARM_UP

MEMORY = "memory in Redis of a live reply"

COUNTERS = {
    "Redis, in, a token": ("total_net_input_bytes", "bytes"),
    "Redis, out, a token": ("total_net_output_bytes", "bytes"),
    "Redis, commands, a token": ("total_commands_processed", ""),
}

OPENING_SECONDS = 3.0
"""After the last stream was opened: on average they are half said then, as live replies are."""

STATISTICS_SECONDS = 1.5
"""PostgreSQL's counters are as late as that."""


def measure(stage: Stage, case: Case) -> Outcome:
    """One run for what is written, one for the memory: who looks at it takes bytes too."""
    with workers(stage, case.workload.plan, case.entrants[0].environment) as site:
        contender = site.contender(case.entrants[0].name, site.across(0))
        warm_up(stage, contender, WARM_UP, PythonLoad())
        return Outcome([], [*_written(case, site, contender), *_held(case, site, contender)])


def _written(case: Case, site: Workers, contender: Contender) -> list[Quantity]:
    time.sleep(STATISTICS_SECONDS)
    redis, postgres = _counters(site.redis), site.postgres.written()
    report = PythonLoad().begin(contender.job(case.workload)).report()
    time.sleep(SETTLE_SECONDS + STATISTICS_SECONDS)
    redis_now, postgres_now = _counters(site.redis), site.postgres.written()
    _refuse(report.problems)
    quantities = [
        Quantity(case.name, name, round((redis_now[name] - redis[name]) / report.tokens, 2), unit)
        for name, (_, unit) in COUNTERS.items()
    ]
    for name, now, before, unit in (
        ("PostgreSQL, transactions of a reply, reads too", postgres_now.transactions, postgres.transactions, ""),
        ("PostgreSQL, rows written for a reply", postgres_now.rows, postgres.rows, ""),
        ("PostgreSQL, write-ahead log of a reply", postgres_now.log_bytes / 1000, postgres.log_bytes / 1000, "KB"),
    ):
        quantities.append(Quantity(case.name, name, round((now - before) / report.streams, 2), unit))
    return quantities


def _held(case: Case, site: Workers, contender: Contender) -> list[Quantity]:
    """While all are live, and when all have ended."""
    used, before = site.redis.counter("used_memory"), site.redis.held()
    under_way = PythonLoad().begin(contender.job(case.workload))
    time.sleep(case.workload.ramp_seconds + OPENING_SECONDS)
    used_now, now = site.redis.counter("used_memory"), site.redis.held()
    _refuse(under_way.report().problems)
    time.sleep(SETTLE_SECONDS)
    used_at_the_end = site.redis.counter("used_memory")

    def each(grown: float) -> float:
        return round(grown / case.workload.streams, 2)

    text = now.text_bytes - before.text_bytes
    return [
        Quantity(case.name, MEMORY, each((used_now - used) / 1000), "KB"),
        Quantity(case.name, f"{MEMORY}, beside its text", each((used_now - used - text) / 1000), "KB"),
        Quantity(case.name, "its text then", each(text / 1000), "KB"),
        Quantity(case.name, "its events then", each(now.events - before.events)),
        Quantity(case.name, "memory in Redis of an ended reply", each((used_at_the_end - used) / 1000), "KB"),
    ]


def _counters(redis: RedisServer) -> dict[str, int]:
    return {name: redis.counter(counter) for name, (counter, _) in COUNTERS.items()}


def _refuse(problems: dict[str, int]) -> None:
    if problems:
        raise CannotMeasure(f"not all streams were without fault: {problems}")
