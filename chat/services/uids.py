"""What older clients know an account by: its id, or a number that staff have given it."""

from __future__ import annotations

import uuid

from django.utils.translation import gettext as _

from chat.errors import NotFound
from chat.models import User
from chat.services.database import Database

NUMBER_MOST = 2**63 - 1
"""That the database can hold."""

NUMBER_DIGITS = 19


class Uids:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, user: uuid.UUID, uid: str | int) -> None:
        """Raises NotFound for one that is not this user's, whether or not it is somebody else's."""
        if isinstance(uid, str):
            if uid.lower() == str(user):
                return
            number = int(uid) if uid.isascii() and uid.isdigit() and len(uid) <= NUMBER_DIGITS else -1
        else:
            number = uid
        if not 0 <= number <= NUMBER_MOST or not await self._database.read(_has_number, user, number):
            raise NotFound(_("This is not the user ID of your account."), {"field": "uid"})


def _has_number(user: uuid.UUID, number: int) -> bool:
    return User.objects.filter(id=user, number=number).exists()
