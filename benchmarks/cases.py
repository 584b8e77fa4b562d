"""Every case, by name. The clock of our server is set where the case is about it, else it is the server's own."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks import (
    across_workers,
    cancel_delay,
    held_streams,
    memory_cost,
    observability,
    redis_traffic,
    start_cost,
    stop_delay,
    transactions,
)
from benchmarks.case import GO, OURS, STARLETTE, Case, Entrant
from benchmarks.model_name import Plan
from benchmarks.turns import first_tokens, in_turns
from benchmarks.workload import Workload

CLOCK_50_MS = {"CHAT_TICK_SECONDS": "0.05", "CHAT_TICK_CROWDED_SECONDS": "0.05"}
CLOCK_100_MS = {"CHAT_TICK_SECONDS": "0.1", "CHAT_TICK_CROWDED_SECONDS": "0.1"}

PACED = Workload(500, Plan(200, 25), 2.0)
SATURATED = Workload(100, Plan(2000, 0), 0.5)
IDLE = Workload(500, Plan(20, 2), 2.0)
HELD = Workload(500, Plan(1, 25, held_seconds=8), 2.0)
EIGHT_SECONDS = Workload(100, Plan(200, 25), 2.0)
STOPPED = Workload(200, stop_delay.PLAN, 0.0)
CANCELLED = Workload(50, PACED.plan, 0.0)
CROWDS = Workload(2000, Plan(400, 25), 8.0)

GO_RELAY = Entrant(GO, "go")
PEERS = (GO_RELAY, Entrant(STARLETTE, "starlette"))
TLS_PEERS = (Entrant(GO, "go"), Entrant(f"{STARLETTE}, TLS", "starlette", tls=True))
"""The Go relay reaches its upstream in clear: what TLS costs us is in the ratio."""


def _ours(**environment: str) -> tuple[Entrant]:
    return (Entrant(OURS, "ours", environment=environment),)


def _many(streams: int) -> Case:
    return Case(f"streams-{streams}", Workload(streams, PACED.plan, 2.0, fixed=True), _ours(), in_turns)


_ALL = (
    Case("paced", PACED, (*_ours(**CLOCK_50_MS), *PEERS), in_turns),
    Case("paced-100ms", PACED, (*_ours(**CLOCK_100_MS), *PEERS), in_turns),
    Case("paced-default", PACED, (*_ours(), *PEERS), in_turns),
    Case("websocket", PACED, (Entrant(OURS, "ours", websocket=True, environment=CLOCK_50_MS), *PEERS), in_turns),
    Case("tls", PACED, (Entrant(OURS, "ours", tls=True, environment=CLOCK_50_MS), *TLS_PEERS), in_turns),
    Case("saturated", SATURATED, (*_ours(), *PEERS), in_turns),
    Case("saturated-websocket", SATURATED, (Entrant(OURS, "ours", websocket=True), *PEERS), in_turns),
    Case("ramp", PACED, _ours(**CLOCK_50_MS), first_tokens),
    *(_many(streams) for streams in (100, 1000, 1500, 2000)),
    Case("memory", IDLE, (*_ours(), *PEERS), memory_cost.measure),
    Case("start", HELD, (*_ours(), *PEERS), start_cost.measure),
    Case("transactions", EIGHT_SECONDS, _ours(CHAT_METRICS="on"), transactions.measure),
    Case(
        "observability",
        PACED,
        (
            Entrant(f"{OURS}, watched", "ours", environment={**CLOCK_50_MS, **observability.WATCHED}),
            Entrant(f"{OURS}, every trace", "ours", environment={**CLOCK_50_MS, **observability.EVERY_TRACE}),
            Entrant(f"{OURS}, unwatched", "ours", environment={**CLOCK_50_MS, **observability.UNWATCHED}),
        ),
        observability.measure,
    ),
    Case("redis-owner", PACED, (*_ours(**CLOCK_50_MS), GO_RELAY), across_workers.readers_on_the_owner),
    Case("redis-owner-default", PACED, (*_ours(), GO_RELAY), across_workers.readers_on_the_owner),
    Case("redis-saves-10s", PACED, (*_ours(CHAT_SAVE_SECONDS="10"), GO_RELAY), across_workers.readers_on_the_owner),
    Case("redis-other", PACED, (*_ours(**CLOCK_50_MS), GO_RELAY), across_workers.readers_on_the_other),
    Case("redis-other-default", PACED, (*_ours(), GO_RELAY), across_workers.readers_on_the_other),
    Case("redis-traffic", PACED, _ours(), redis_traffic.measure),
    Case("stop", STOPPED, _ours(), stop_delay.measure),
    Case("cancel", CANCELLED, _ours(), cancel_delay.measure),
    Case("workers", CROWDS, _ours(), held_streams.readers_on_the_owner),
    Case("workers-across", CROWDS, _ours(), held_streams.readers_on_the_other),
)

CASES = {case.name: case for case in _ALL}
DEFAULT = ("paced", "websocket", "saturated", "saturated-websocket", "memory", "transactions")


def chosen(names: Iterable[str]) -> list[Case]:
    """In the order of the table, `all` for all of them, the default set for none. Raises ValueError for others."""
    asked = set(names) or set(DEFAULT)
    if "all" in asked:
        return list(CASES.values())
    if unknown := asked - CASES.keys():
        raise ValueError(f"no case is called {', '.join(sorted(unknown))}; there are {', '.join(CASES)}, and all")
    return [case for name, case in CASES.items() if name in asked]
