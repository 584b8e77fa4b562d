"""What may not be exceeded, in one table. A quantity that was not measured is not judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmarks import cancel_delay, memory_cost, observability, ratios, start_cost, stop_delay, transactions, turns
from benchmarks.case import Quantity


class Limit(NamedTuple):
    """`most`: in the quantity's own unit."""

    case: str
    name: str
    most: float


LIMITS = (
    Limit("paced", ratios.TO_GO, 1.3),
    Limit("paced-100ms", ratios.TO_GO, 1.0),
    Limit("paced-default", ratios.TO_STARLETTE, 0.5),
    Limit("websocket", ratios.TO_GO, 1.6),
    Limit("websocket", ratios.TO_STARLETTE, 0.5),
    Limit("tls", ratios.TO_GO, 1.6),
    Limit("saturated", ratios.TO_GO, 1.0),
    Limit("ramp", turns.FIRST_TOKEN_P50, 5.0),
    Limit("ramp", turns.FIRST_TOKEN_P99, 80.0),
    Limit("streams-1000", ratios.SCALE, 1.1),
    Limit("memory", memory_cost.COST, 70.0),
    Limit("start", start_cost.COST, 2.0),
    # Four, and one for each of its eight seconds.
    Limit("transactions", transactions.TRANSACTIONS, 12.0),
    Limit("observability", observability.OVERHEAD, 5.0),
    Limit("redis-owner", ratios.TO_GO, 1.6),
    Limit("redis-owner-default", ratios.TO_GO, 1.6),
    Limit("redis-other", ratios.TO_GO, 2.5),
    Limit("redis-other-default", ratios.TO_GO, 2.5),
    Limit("stop", stop_delay.STOP_P95, 200.0),
    Limit("cancel", cancel_delay.SLOWEST_P99, 100.0),
)


def limit_of(quantity: Quantity) -> float | None:
    return next((limit.most for limit in LIMITS if (limit.case, limit.name) == (quantity.case, quantity.name)), None)


def exceeded(quantities: Iterable[Quantity]) -> list[str]:
    """A sentence for each that is over its limit."""
    return [
        f"{quantity.case}: {quantity.name} is {quantity.words()}, {most:g} at most is allowed"
        for quantity in quantities
        if (most := limit_of(quantity)) is not None and quantity.value > most
    ]
