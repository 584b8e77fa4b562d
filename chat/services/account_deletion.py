"""An account that its owner deletes, with all that it has."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

from django.contrib.auth.hashers import check_password
from django.utils.translation import gettext as _

from chat.errors import Conflict, InvalidRequest, NotFound, Unauthenticated, Unavailable
from chat.models import Conversation, Generation, User
from chat.services import message_deletion
from chat.services.commands import Commands
from chat.services.database import Database
from chat.services.generations import Generations
from chat.services.owned_tasks import OwnedTasks
from chat.services.requests import check_text
from chat.services.sign_ins import SignIns
from chat.services.sign_outs import SignOuts
from chat.services.tokens import PASSWORD_CHARS

BATCH_CONVERSATIONS = 50
"""Whose messages are deleted by one write."""


class AccountDeletion:
    def __init__(
        self,
        database: Database,
        tasks: OwnedTasks,
        generations: Generations,
        commands: Commands,
        sign_ins: SignIns,
        sign_outs: SignOuts,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._generations = generations
        self._commands = commands
        self._sign_ins = sign_ins
        self._sign_outs = sign_outs

    async def confirm(self, user: uuid.UUID, password: Any, confirm: Any) -> None:
        """That the owner means it: by the password or, of an account that has none, by `confirm`, its user name.

        Raises Unauthenticated for a wrong password, InvalidRequest for what is missing, and Conflict for staff, whom
        another superuser deletes.
        """
        account = await self._database.read(_account, user)
        if account.is_staff or account.is_superuser:
            raise Conflict(_("An account of staff is deleted in the administration, by another superuser."))
        if not account.has_usable_password():
            if not isinstance(confirm, str) or confirm != account.username:
                words = _("Please confirm with the user name of the account.")
                raise InvalidRequest(words, {"field": "confirm"}, status=422)
            return
        given = check_text(password or "", "password", PASSWORD_CHARS)
        if not given:
            words = _("Please confirm with the password of the account.")
            raise InvalidRequest(words, {"field": "password"}, status=422)
        # Off the event loop and off the reading threads: a password hash takes long on purpose.
        if not await asyncio.to_thread(check_password, given, account.password):
            raise Unauthenticated(_("The password is wrong."))

    async def delete(self, user: uuid.UUID) -> None:
        """To the end, also where who asked for it has gone. Begun again, it goes on."""
        await self._tasks.to_its_end(self._delete(user))

    async def _delete(self, user: uuid.UUID) -> None:
        for generation in await self._database.read(_live, user):
            with suppress(NotFound, Unavailable):  # ended meanwhile; its worker has gone
                await self._generations.stop(user, generation)
        while await self._database.write(_delete_some, user):
            pass
        for generation, owner in await self._database.write(_delete_account, user):
            await self._commands.wake(owner, generation, "stop")
        self._sign_outs.announce(user)
        await self._sign_ins.end_all(user, api_keys=False)


def _account(user: uuid.UUID) -> User:
    try:
        return User.objects.get(id=user)
    except User.DoesNotExist:
        raise NotFound(_("This account does not exist.")) from None


def _live(user: uuid.UUID) -> list[str]:
    return [str(id) for id in Generation.objects.live().filter(user_id=user).values_list("id", flat=True)]


def _delete_some(user: uuid.UUID) -> bool:
    """Whether there may be more."""
    rows = Conversation.objects.filter(user_id=user).order_by("id")
    conversations = list(rows.values_list("id", flat=True)[:BATCH_CONVERSATIONS])
    if not message_deletion.delete_some(conversations):
        Conversation.objects.filter(id__in=conversations).delete()
    return bool(conversations)


def _delete_account(user: uuid.UUID) -> list[tuple[str, str]]:
    """With what was sent at the last moment: replies that still run, and their workers."""
    running = Generation.objects.live().filter(user_id=user).values_list("id", "owner")
    begun = [(str(generation), owner) for generation, owner in running]
    User.objects.filter(id=user).delete()
    return begun
