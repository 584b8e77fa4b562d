"""Whether a session is a sign-in now, and whose: read from the database each time, by two plain statements.

What is remembered is only the cryptography: that these very bytes were signed by us, and that this very hash of a
password fits them. A changed password, a deleted session, an inactive account show at the next look.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import NamedTuple

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
_ACCOUNT = "SELECT username, email, is_staff, language, password FROM chat_user WHERE id = %s AND is_active"


class Account(NamedTuple):
    """What a request needs to know of who makes it."""

    user: uuid.UUID
    username: str
    email: str
    is_staff: bool
    language: str


class _Claim(NamedTuple):
    """What a session says: whose it is, and the mark of the password that it was opened with."""

    user: str
    mark: str


def signed_in(session_key: str, using: str) -> Account | None:
    """The active account that is signed in with this session: a changed password has ended it. Writes nothing."""
    session = execute(using, _SESSION, [session_key, moment(timezone.now(), using)]).fetchone()
    claim = None if session is None else _claim(session[0])
    if claim is None:
        return None
    try:
        user = uuid.UUID(claim.user)
    except ValueError:
        return None
    key = User._meta.pk.get_db_prep_value(user, connections[using])
    account = execute(using, _ACCOUNT, [key]).fetchone()
    if account is None:
        return None
    username, email, is_staff, language, password = account
    if not _fits(password, claim.mark):
        return None
    return Account(user, username, email, bool(is_staff), language)


@lru_cache(REMEMBERED)
def _claim(session_data: str) -> _Claim | None:
    session = SessionStore().decode(session_data)
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    return _Claim(str(session[SESSION_KEY]), str(session.get(HASH_SESSION_KEY, "")))


@lru_cache(REMEMBERED)
def _fits(password: str, mark: str) -> bool:
    """Whether a session with this mark was opened with the password of this hash."""
    user = User(password=password)
    marks = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(mark, known) for known in marks)
