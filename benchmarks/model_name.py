"""A model's name sets its stream: `mock-200-25` is 200 tokens at 25 a second, `mock-50-0` is 50 at full speed."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"mock-(\d+)-(\d+)")


class Plan(NamedTuple):
    tokens: int
    rate: int


def name_of(plan: Plan) -> str:
    return f"mock-{plan.tokens}-{plan.rate}"


def plan_of(name: str) -> Plan:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r}: a model is called mock-TOKENS-RATE")
    return Plan(int(match[1]), int(match[2]))
