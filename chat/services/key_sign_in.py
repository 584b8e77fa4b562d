"""Whether a text is an API key that is good now, and whose: by one plain statement, each time."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections
from django.utils import timezone

from chat.models import ApiKey
from chat.services.scopes import Scope
from chat.services.sign_in import Account, as_id, as_moment
from chat.services.statements import execute, moment

KEY_PREFIX = "chat_"
KEY_CHARS = 40
"""Random characters of base 62: 238 bits. What is as random as that needs no slow hash."""

_KEY = re.compile(rf"{KEY_PREFIX}[0-9A-Za-z]{{{KEY_CHARS}}}")

_COLUMNS = """
    SELECT chat_apikey.id, scopes, expires_at, last_used_at, user_id, username, email, is_staff, language
    FROM chat_apikey JOIN chat_user ON chat_user.id = user_id
    WHERE (expires_at IS NULL OR expires_at > %s) AND is_active AND
"""
_BY_DIGEST = f"{_COLUMNS} digest = %s"
_BY_ID = f"{_COLUMNS} chat_apikey.id = %s"


class KeySignIn(NamedTuple):
    account: Account
    key: uuid.UUID
    scopes: frozenset[Scope]
    last_used_at: datetime | None


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether it looks like one; anything else never reaches the database."""
    return _KEY.fullmatch(text) is not None


def signed_in_by_key(key: str, using: str) -> KeySignIn | None:
    return _found(_BY_DIGEST, digest(key), using)


def signed_in_by_key_id(key: uuid.UUID, using: str) -> KeySignIn | None:
    return _found(_BY_ID, ApiKey._meta.pk.get_db_prep_value(key, connections[using]), using)


def _found(sql: str, value: Any, using: str) -> KeySignIn | None:
    row = execute(using, sql, [moment(timezone.now(), using), value]).fetchone()
    if row is None:
        return None
    key, scopes, expires_at, last_used_at, user, username, email, is_staff, language = row
    named = json.loads(scopes) if isinstance(scopes, str) else scopes
    account = Account(as_id(user), username, email, bool(is_staff), language, as_moment(expires_at))
    return KeySignIn(
        account, as_id(key), frozenset(scope for scope in Scope if scope in named), as_moment(last_used_at)
    )
