"""Counts of tokens as upstreams report them. A count is never worth a reply: whatever is none says nothing."""

from __future__ import annotations

from typing import Any

MOST = 2**31 - 1
"""More is no count, and more than a database's integer holds."""

_DIGITS = len(str(MOST))


def tokens(value: Any) -> int | None:
    """The count that this is, also as a text or as a float without a fraction; None for what is no such number."""
    is_text = isinstance(value, str) and len(value) <= _DIGITS and value.isascii() and value.isdigit()
    if is_text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST else None


def tokens_at(usage: Any, name: str) -> int | None:
    """The count in this field of a usage object; None where that is no object."""
    return tokens(usage.get(name)) if isinstance(usage, dict) else None


def total(*counts: int | None) -> int | None:
    """Of those that are known; None where none is."""
    known = [count for count in counts if count is not None]
    return min(sum(known), MOST) if known else None
