"""Rates, and what counting against them says.

A rate's window moves: at most so many in any stretch of its length, however it lies. `RateLimit-*` and `Retry-After`
tell when the next one may come: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-03
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """At most `amount` in `seconds`."""

    amount: int
    seconds: int


class Window(NamedTuple):
    """Where is counted: `name` says what, `owner` whose."""

    name: str
    owner: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Count:
    """`taken`: there was room for this one. `remaining` may still come now, and one more in `reset` seconds."""

    taken: bool
    limit: int
    remaining: int
    reset: float

    @property
    def seconds(self) -> int:
        """Until one more may come, whole: at least 1, and never too few."""
        return max(1, math.ceil(self.reset))


counted: ContextVar[Count | None] = ContextVar("counted", default=None)
"""What the request that is being served was counted against."""


def parse_rate(text: str | None) -> Rate | None:
    """`N/s`, `N/m`, `N/h` or `N/d`, as the settings have checked it; None stays None."""
    if text is None:
        return None
    amount, unit = text.split("/")
    return Rate(int(amount), _SECONDS[unit])


def tightest(counts: Iterable[Count]) -> Count | None:
    """The one to tell of: a full one that takes longest to have room, else the one with the least left."""
    return min(counts, key=lambda count: (count.taken, count.remaining, -count.reset), default=None)
