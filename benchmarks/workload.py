"""How many streams of what kind, and how fast they are opened."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.model_name import Plan
from benchmarks.settings import Settings


class Workload(NamedTuple):
    """`fixed`: the number of streams is what the case is about."""

    streams: int
    plan: Plan
    ramp_seconds: float
    fixed: bool = False

    def as_asked(self, settings: Settings) -> Workload:
        """With what the environment sets; a stream at full speed keeps its speed."""
        plan = self.plan._replace(
            tokens=settings.tokens or self.plan.tokens,
            rate=(settings.rate or self.plan.rate) if self.plan.rate else 0,
        )
        ramp = self.ramp_seconds if settings.ramp_seconds is None else settings.ramp_seconds
        streams = self.streams if self.fixed else settings.streams or self.streams
        return Workload(streams, plan, ramp, self.fixed)


WARM_UP = Workload(25, Plan(50, 0), 0.5)
"""What a server does for the first time only is not measured."""
