"""A model's name sets its stream: `mock-200-25` is 200 tokens at 25 a second, `mock-50-0` is 50 at full speed.

`held-6-1-25` sends its head and the role at once, nothing for six seconds, and then one token.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"(?:mock|held-(\d+))-(\d+)-(\d+)")


class Plan(NamedTuple):
    """`rate`: tokens a second, 0 for full speed. `held_seconds`: from the role to the first token."""

    tokens: int
    rate: int
    held_seconds: int = 0


def name_of(plan: Plan) -> str:
    kind = f"held-{plan.held_seconds}" if plan.held_seconds else "mock"
    return f"{kind}-{plan.tokens}-{plan.rate}"


def plan_of(name: str) -> Plan:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r}: a model is called mock-TOKENS-RATE or held-SECONDS-TOKENS-RATE")
    return Plan(int(match[2]), int(match[3]), int(match[1] or 0))
