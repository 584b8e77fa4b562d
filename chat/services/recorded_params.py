"""How a reply was asked for, as its generation's row has it: the sampling, and which system prompt it was under."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from chat.providers.base import Params

SAMPLING = ("temperature", "top_p", "max_tokens")

SYSTEM_DIGEST = "system_digest"
DIGEST_CHARS = 16
"""Enough to tell the prompts of one conversation apart."""


def to_row(params: Params, system: str) -> dict[str, Any]:
    """Only what was given: of most, nothing."""
    row = {name: value for name in SAMPLING if (value := getattr(params, name)) is not None}
    return row | {SYSTEM_DIGEST: digest_of(system)} if system else row


def sampling_of(row: Mapping[str, Any]) -> Params:
    return Params(**{name: row.get(name) for name in SAMPLING})


def system_of(row: Mapping[str, Any]) -> str:
    """The digest of the system prompt."""
    digest: str = row.get(SYSTEM_DIGEST, "")
    return digest


def digest_of(system: str) -> str:
    """Empty for no prompt."""
    return hashlib.sha256(system.encode()).hexdigest()[:DIGEST_CHARS] if system else ""
