"""Django's own word that something a sign-in rests on has ended, from whatever thread of this process it comes.

Said once the change is committed: a session or an API key that is deleted (a sign-out, a token family's end, a session
that staff delete), and an account that is saved or deleted. `QuerySet.update` and other processes say nothing here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from chat.models import ApiKey, User
from chat.services.sign_in import session_user

RESTS_ON = frozenset({"password", "is_active"})
"""What of an account."""


class SignOutSignals:
    """`announce` is called in `loop` with the account. Until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, announce: Callable[[uuid.UUID], None]) -> None:
        self._loop = loop
        self._announce = announce
        post_delete.connect(self._session_deleted, sender=Session)
        post_delete.connect(self._key_deleted, sender=ApiKey)
        post_save.connect(self._user_saved, sender=User)
        post_delete.connect(self._user_deleted, sender=User)

    def close(self) -> None:
        post_delete.disconnect(self._session_deleted, sender=Session)
        post_delete.disconnect(self._key_deleted, sender=ApiKey)
        post_save.disconnect(self._user_saved, sender=User)
        post_delete.disconnect(self._user_deleted, sender=User)

    def _session_deleted(self, instance: Session, using: str, **_more: Any) -> None:
        if (user := session_user(instance.session_data)) is not None:
            self._tell(user, using)

    def _key_deleted(self, instance: ApiKey, using: str, **_more: Any) -> None:
        self._tell(instance.user_id, using)

    def _user_saved(
        self, instance: User, using: str, created: bool, update_fields: Collection[str] | None, **_more: Any
    ) -> None:
        if not created and (update_fields is None or RESTS_ON & set(update_fields)):
            self._tell(instance.pk, using)

    def _user_deleted(self, instance: User, using: str, **_more: Any) -> None:
        self._tell(instance.pk, using)

    def _tell(self, user: uuid.UUID, using: str) -> None:
        transaction.on_commit(partial(self._hand_over, user), using=using, robust=True)

    def _hand_over(self, user: uuid.UUID) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile, and all streams with it
            self._loop.call_soon_threadsafe(self._announce, user)
