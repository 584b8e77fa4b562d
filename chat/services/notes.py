"""Notes as a generation's row has them: `[{"note", "details"}]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from chat.events import Note

Told = TypeVar("Told")


def to_row(notes: Iterable[Note]) -> list[dict[str, Any]]:
    return [{"note": note.note, "details": dict(note.details)} for note in notes]


def of_row(notes: Iterable[dict[str, Any]], kind: Callable[[Any, Any], Told]) -> list[Told]:
    """Each as a `kind`, made of its name and its details. A later version's too, whose notes this one does not know."""
    return [kind(note["note"], note["details"]) for note in notes]
