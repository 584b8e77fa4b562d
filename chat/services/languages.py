"""The language that an account has chosen."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest
from chat.models import User
from chat.services.database import Database


class Languages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def choose(self, user: uuid.UUID, value: Any) -> str:
        """One of the settings' LANGUAGES; null or empty is that of the browser. Raises InvalidRequest."""
        language = _checked(value)
        await self._database.write(_choose, user, language)
        return language


def _checked(value: Any) -> str:
    known = [code for code, _name in settings.LANGUAGES]
    if value is None or value == "":
        return ""
    if value not in known:
        words = _("This server does not speak this language; it speaks %(known)s.") % {"known": ", ".join(known)}
        raise InvalidRequest(words, {"field": "language", "known": known}, status=422)
    return str(value)


def _choose(user: uuid.UUID, language: str) -> None:
    User.objects.filter(id=user).update(language=language)
