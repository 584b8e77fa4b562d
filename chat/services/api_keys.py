"""API keys, as their owner makes and deletes them: shown once, stored hashed."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.errors import Conflict, InvalidRequest, NotFound
from chat.models import ApiKey, User
from chat.models.api_key import KEY_NAME_CHARS
from chat.services.access import parse_id
from chat.services.database import Database
from chat.services.key_sign_in import KEY_CHARS, KEY_PREFIX, digest
from chat.services.records import Page
from chat.services.requests import check_text
from chat.services.scopes import ALL, Scope

BASE62 = string.digits + string.ascii_letters

SHOWN_CHARS = len(KEY_PREFIX) + 6
"""What a list shows of a key: enough to recognise it, and the 34 characters that are left cannot be guessed."""


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """Times are ISO 8601 in UTC; `last_used_at` to the minute."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class NewApiKey(ApiKeyRecord):
    """`key`: the whole of it, which is shown only now; None where the same request is answered again."""

    key: str | None


class ApiKeys:
    """`most`: of one user; None for any number."""

    def __init__(self, database: Database, most: int | None) -> None:
        self._database = database
        self._most = most

    async def create(
        self, user: uuid.UUID, name: str, scopes: Sequence[Scope] | None, expires_at: datetime | None
    ) -> NewApiKey:
        """Without `scopes`, with all; without `expires_at`, for good. Raises InvalidRequest, TooLarge; Conflict where
        the user has as many as there may be; NotFound for an account that has gone meanwhile."""
        name = check_text(name, "name", KEY_NAME_CHARS).strip()
        if not name:
            raise _invalid(_("Give the key a name, so that you know it again."), "name")
        if scopes is not None and not scopes:
            raise _invalid(_("Name at least one scope, or none at all for every one."), "scopes")
        chosen = sorted(scope.value for scope in set(scopes or ALL))
        expires = None if expires_at is None else _in_the_future(expires_at)
        key = KEY_PREFIX + "".join(secrets.choice(BASE62) for _number in range(KEY_CHARS))
        row = await self._database.write(_create, user, name, key, chosen, expires, self._most)
        return NewApiKey(*_fields(row), key)

    async def page(self, user: uuid.UUID, cursor: str | None, limit: int) -> Page:
        """Newest first."""
        return await self._database.read(_page, user, cursor, limit)

    async def delete(self, user: uuid.UUID, key: str) -> None:
        """It is refused from now on. Raises NotFound."""
        await self._database.write(_delete, user, key)


def _in_the_future(moment: datetime) -> datetime:
    """In UTC, which a moment without a zone is taken for."""
    try:
        moment = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise _invalid(_("This is no moment that a key can expire at."), "expires_at") from None
    if moment <= timezone.now():
        raise _invalid(_("This moment has passed: the key would never be good."), "expires_at")
    return moment


def _create(
    user: uuid.UUID, name: str, key: str, scopes: list[str], expires_at: datetime | None, most: int | None
) -> ApiKey:
    # The lock, where the database has one: of two who create the last at once, the second finds it created.
    if not User.objects.select_for_update().filter(pk=user).exists():
        raise NotFound(_("This account does not exist."))
    if most is not None and ApiKey.objects.filter(user_id=user).count() >= most:
        words = _("There are %(most)d API keys, as many as there may be. Delete one that is not needed.")
        raise Conflict(words % {"most": most}, {"limit": most})
    return ApiKey.objects.create(
        user_id=user, name=name, prefix=key[:SHOWN_CHARS], digest=digest(key), scopes=scopes, expires_at=expires_at
    )


def _page(user: uuid.UUID, cursor: str | None, limit: int) -> Page:
    keys: QuerySet[ApiKey] = ApiKey.objects.filter(user_id=user).order_by("-id")
    if cursor is not None:
        keys = keys.filter(id__lt=_read_cursor(cursor))
    rows = list(keys[: limit + 1])
    records = [ApiKeyRecord(*_fields(row)) for row in rows[:limit]]
    return Page(records, str(rows[limit - 1].id) if len(rows) > limit else None)


def _delete(user: uuid.UUID, key: str) -> None:
    try:
        ApiKey.objects.get(id=parse_id(key), user_id=user).delete()
    except ApiKey.DoesNotExist:
        raise NotFound(_("This API key does not exist.")) from None


def _fields(row: ApiKey) -> tuple[str, str, str, list[str], str, str | None, str | None]:
    return (
        str(row.id),
        row.name,
        row.prefix,
        row.scopes,
        timestamp(row.created_at),
        None if row.last_used_at is None else timestamp(row.last_used_at),
        None if row.expires_at is None else timestamp(row.expires_at),
    )


def _read_cursor(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(cursor)
    except ValueError:
        raise InvalidRequest(
            _("This cursor is not one of ours. Begin again without it."), {"field": "cursor"}
        ) from None


def _invalid(words: str, field: str) -> InvalidRequest:
    return InvalidRequest(words, {"field": field}, status=422)
