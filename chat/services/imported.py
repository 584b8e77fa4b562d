"""What an import is made of, whatever format it came in, and the checks of its fields.

Each check raises InvalidRequest (422) or TooLarge, whose `details` name the place: `conversations[3].messages[7].role`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from chat.errors import InvalidRequest
from chat.models.message import Role
from chat.services.requests import check_text

KEY_CHARS = 255
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class ImportedMessage:
    """`key` and `parent` are of the file that it came in. `feedback`: value and comment."""

    key: str
    parent: str | None
    role: Role
    text: str
    reasoning: str
    status: str
    feedback: tuple[int, str] | None
    created_at: datetime


@dataclass(slots=True)
class ImportedConversation:
    """`messages`: parents first; of the leaves, the last is the one that its reader saw last. `place`: in the file."""

    title: str
    provider: str
    model: str
    system: str
    pinned: bool
    archived: bool
    created_at: datetime
    updated_at: datetime
    messages: Sequence[ImportedMessage]
    place: str


def wrong(words: str, place: str) -> InvalidRequest:
    return InvalidRequest(
        _("%(words)s (at %(place)s)") % {"words": words, "place": place}, {"field": place}, status=422
    )


def checked_object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(_("This must be an object."), place)
    return value


def checked_list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(_("This must be a list."), place)
    return value


def checked_text(value: Any, place: str, limit: int | None) -> str:
    """Null is as good as empty."""
    return "" if value is None else check_text(value, place, limit)


def checked_key(value: Any, place: str) -> str:
    key = checked_text(value, place, KEY_CHARS)
    if not key:
        raise wrong(_("This must be an id."), place)
    return key


def checked_switch(value: Any, place: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise wrong(_("This must be true or false."), place)
    return bool(value)


def checked_moment(value: Any, place: str, otherwise: datetime) -> datetime:
    """ISO 8601 with its offset, or seconds since 1970; nothing is later than now."""
    if value is None:
        return otherwise
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            moment = datetime.fromtimestamp(value, UTC)
        else:
            raise ValueError
        moment = moment.astimezone(UTC)
        if moment < EARLIEST:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise wrong(_("This must be a time after 1970, such as 2026-11-21T10:00:00Z."), place) from None
    return min(moment, datetime.now(UTC))


def parents_first(messages: Sequence[ImportedMessage], place: str) -> list[ImportedMessage]:
    """In their own order otherwise. Raises InvalidRequest for what is no tree."""
    by_key = {message.key: message for message in messages}
    if len(by_key) != len(messages):
        raise wrong(_("Two messages have the same id."), place)
    placed: dict[str, ImportedMessage] = {}
    for message in messages:
        line: dict[str, ImportedMessage] = {}
        one: ImportedMessage | None = message
        while one is not None and one.key not in placed:
            if one.key in line:
                raise wrong(_("A message is its own ancestor."), place)
            line[one.key] = one
            if one.parent is not None and one.parent not in by_key:
                raise wrong(_("The parent of a message is missing."), place)
            one = None if one.parent is None else by_key[one.parent]
        placed |= {key: line[key] for key in reversed(line)}
    return list(placed.values())
