"""Who is asking: an account, found by its browser session or by an app's token, the same for every transport."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from allauth.headless.tokens.strategies.jwt import internal as jwt

from chat.services.database import Database
from chat.services.sign_in import REMEMBERED, Account, signed_in, signed_in_as

TOKEN_CHARS = 4096
"""A token of ours has under 500; what is longer is none, and is not even decoded."""

_SESSION_KEY = re.compile(r"[0-9a-z]{8,40}")
"""What Django makes as a session's key (32 of these); anything else never reaches the database."""

Via = Literal["session", "bearer"]


@dataclass(frozen=True, slots=True)
class Identity:
    """`session_key`: what the sign-in rests on; it ends with that session."""

    user: uuid.UUID
    username: str
    email: str
    is_staff: bool
    language: str
    session_key: str
    via: Via


class Identities:
    """Each method answers None for what is not, or no longer, a sign-in. Costs one or two reads by primary
    keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_session(self, session_key: str) -> Identity | None:
        if not _SESSION_KEY.fullmatch(session_key):
            return None
        account = await self._database.read(signed_in, session_key, self._database.alias)
        return _identity(account, session_key, "session")

    async def by_bearer(self, token: str) -> Identity | None:
        """Of an access token; a refresh token is none."""
        claims = token_claims(token, "access")
        if claims is None:
            return None
        account = await self._database.read(signed_in_as, claims.user, claims.session_key, self._database.alias)
        return _identity(account, claims.session_key, "bearer")

    async def still_valid(self, identity: Identity) -> bool:
        """Whether the sign-in behind an open connection still stands."""
        found = await self._database.read(signed_in_as, identity.user, identity.session_key, self._database.alias)
        return found is not None


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token of ours says. `token`: its own id; `session_key`: the family that it belongs to."""

    token: str
    user: uuid.UUID
    session_key: str


def token_claims(token: str, use: Literal["access", "refresh"]) -> TokenClaims | None:
    """None for what we did not sign, what has expired, or what is for another use. Reads no database."""
    if len(token) > TOKEN_CHARS:
        return None
    try:
        claims, expires = _verified(token, use)
    except _NotOurs:
        return None
    return claims if time.time() < expires else None


class _NotOurs(Exception):
    """Raised, so that it is not remembered."""


@lru_cache(REMEMBERED)
def _verified(token: str, use: Literal["access", "refresh"]) -> tuple[TokenClaims, float]:
    claims = jwt.decode_token(token, use)
    session_key = None if claims is None else jwt.session_key_from_sid(claims["sid"])
    if claims is None or session_key is None:
        raise _NotOurs
    return TokenClaims(claims["jti"], uuid.UUID(claims["sub"]), session_key), float(claims["exp"])


def _identity(account: Account | None, session_key: str, via: Via) -> Identity | None:
    return None if account is None else Identity(*account, session_key, via)
