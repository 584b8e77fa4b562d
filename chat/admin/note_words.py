"""What was told beside a reply, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def note_lines(notes: Iterable[dict[str, Any]]) -> list[str]:
    """Of notes as a generation's row has them; a later version's note by its name."""
    return [_line(note["note"], note["details"]) for note in notes]


def _line(note: str, details: dict[str, Any]) -> str:
    match note:
        case "trimmed":
            count = details["left_out"]
            return ngettext("the oldest message left out", "the oldest %(count)s messages left out", count) % {
                "count": count
            }
        case "fallback" if "asked" in details:
            return _("answered by %(provider)s · %(model)s instead of %(asked)s") % details
        case "fallback":
            return _("answered by %(provider)s · %(model)s instead") % details
        case "cached":
            return _("an answer given %(seconds)s s before") % details
    return note
