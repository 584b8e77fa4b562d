"""What the generations of Claude take: the same API refuses from one what it wanted from another.

Source: Anthropic's "Migration guide" and "What's new" for Claude 4.1, 4.6 and 4.7, and "Extended thinking".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
"""`claude-opus-4-1-20250805`, also with the prefixes of those who sell it on. Before Claude 4 the number came first."""


@dataclass(frozen=True, slots=True)
class Takes:
    """`prefill`: an unfinished answer as the last turn. `sampling`: temperature and top_p, `both` of them at a time.
    `budget`: so many tokens of thinking; else it thinks as it sees fit. `tokens`: for an answer of no given length;
    newer ones answer at more length, and may think uninvited."""

    prefill: bool
    sampling: bool
    both: bool
    budget: bool
    tokens: int


def takes(model: str) -> Takes:
    """By a model's name. What is no Claude is another's that speaks the same protocol, and is spared nothing."""
    match = _VERSION.search(model)
    version = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    return Takes(
        prefill=version < (4, 6),
        sampling=version < (4, 7),
        both=version < (4, 1),
        budget=version < (4, 7),
        tokens=4096 if version < (4, 0) else 16_384,
    )
