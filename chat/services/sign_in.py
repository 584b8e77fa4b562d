"""Whether a session is a sign-in now, and whose: read from the database each time, by one or two plain statements.

What is remembered is only the cryptography: that these very bytes were signed by us, and that this very hash of a
password fits them. A changed password, a deleted session, an inactive account show at the next look.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from chat.models import User
from chat.services.statements import execute, moment

REMEMBERED = 4096
"""Sign-ins whose cryptography is remembered, the latest used: some 3 MiB."""

_SESSION = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > %s"
_SIGN_IN = """
    SELECT session_data, expire_date, username, email, is_staff, language, password FROM django_session, chat_user
    WHERE session_key = %s AND expire_date > %s AND id = %s AND is_active
"""


class Account(NamedTuple):
    """What a request needs to know of who makes it. `expires_at`: when this sign-in ends by itself."""

    user: uuid.UUID
    username: str
    email: str
    is_staff: bool
    language: str
    expires_at: datetime | None


class _Claim(NamedTuple):
    """What a session says: whose it is, and the mark of the password that it was opened with."""

    user: uuid.UUID
    mark: str


def signed_in(session_key: str, using: str) -> Account | None:
    """The active account that is signed in with this session: a changed password has ended it. Writes nothing."""
    session = execute(using, _SESSION, [session_key, moment(timezone.now(), using)]).fetchone()
    claim = None if session is None else _claim(session[0])
    return None if claim is None else signed_in_as(claim.user, session_key, using)


def signed_in_as(user: uuid.UUID, session_key: str, using: str) -> Account | None:
    """The same, where it is known whose session it should be; None if it is another's."""
    key = User._meta.pk.get_db_prep_value(user, connections[using])
    found = execute(using, _SIGN_IN, [session_key, moment(timezone.now(), using), key]).fetchone()
    if found is None:
        return None
    session_data, expire_date, username, email, is_staff, language, password = found
    claim = _claim(session_data)
    if claim is None or claim.user != user or not _fits(password, claim.mark):
        return None
    return Account(user, username, email, bool(is_staff), language, as_moment(expire_date))


def session_user(session_data: str) -> uuid.UUID | None:
    """Whose a session is, or was; None for one in which nobody has signed in."""
    claim = _read_claim(session_data)
    return None if claim is None else claim.user


def as_moment(value: datetime | None) -> datetime | None:
    """Of a plain statement's row: SQLite keeps a moment in UTC without saying so."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def as_id(value: Any) -> uuid.UUID:
    """The same: SQLite keeps an id as its digits."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def _read_claim(session_data: str) -> _Claim | None:
    session = SessionStore().decode(session_data)
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    try:
        user = uuid.UUID(str(session[SESSION_KEY]))
    except ValueError:
        return None
    return _Claim(user, str(session.get(HASH_SESSION_KEY, "")))


_claim = lru_cache(REMEMBERED)(_read_claim)


@lru_cache(REMEMBERED)
def _fits(password: str, mark: str) -> bool:
    """Whether a session with this mark was opened with the password of this hash."""
    user = User(password=password)
    marks = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(mark, known) for known in marks)
