"""What an examination is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from chat.services.diagnosis.public_address import PublicAddress


class Level(StrEnum):
    """The worst last."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`id` is stable. `sentence` and `remedy` are words for a person, translated; a remedy of "" is none."""

    id: str
    level: Level
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """`look` runs in a thread of its own, in the reader's language. Without a usable public address it gets None."""

    name: str
    look: Callable[[PublicAddress | None], list[Finding]]
    seconds: float = 15.0
    """How long it may take; what it has not found by then is not waited for."""
