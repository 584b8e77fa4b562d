"""Who is asking: an account, found by its browser session, an app's token or a program's key, the same for every
transport."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from allauth.headless.tokens.strategies.jwt import internal as jwt
from django.utils.translation import gettext as _

from chat.errors import Forbidden
from chat.services.database import Database
from chat.services.key_sign_in import KeySignIn, is_key, signed_in_by_key, signed_in_by_key_id
from chat.services.key_use import KeyUse
from chat.services.scopes import Scope
from chat.services.sign_in import REMEMBERED, Account, signed_in, signed_in_as

TOKEN_CHARS = 4096
"""A token of ours has under 500; what is longer is none, and is not even decoded."""

_SESSION_KEY = re.compile(r"[0-9a-z]{8,40}")
"""What Django makes as a session's key (32 of these); anything else never reaches the database."""

Via = Literal["session", "bearer", "key"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the sign-in rests on is a session, of a browser or of a family of tokens, or an API key: it ends with that.
    `expires_at`: when that ends by itself, as far as is known. `scopes`: of a key; a person's own sign-in has none."""

    user: uuid.UUID
    username: str
    email: str
    is_staff: bool
    language: str
    expires_at: datetime | None
    session_key: str
    via: Via
    api_key: uuid.UUID | None = None
    scopes: frozenset[Scope] | None = None

    @property
    def credential(self) -> str | uuid.UUID:
        """What it rests on."""
        return self.session_key if self.api_key is None else self.api_key

    def may(self, scope: Scope) -> bool:
        """A person may do everything, a key what its scopes say."""
        return self.scopes is None or scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises Forbidden for a key without it."""
        if not self.may(scope):
            words = _("This API key may not do this: it lacks the scope “%(scope)s”.") % {"scope": scope.value}
            raise Forbidden(words, {"scope": scope.value})


class Identities:
    """Each method answers None for what is not, or no longer, a sign-in. Costs one or two reads by primary
    keys."""

    def __init__(self, database: Database, key_use: KeyUse) -> None:
        self._database = database
        self._key_use = key_use

    async def by_session(self, session_key: str) -> Identity | None:
        if not _SESSION_KEY.fullmatch(session_key):
            return None
        account = await self._database.read(signed_in, session_key, self._database.alias)
        return _of_session(account, session_key, "session")

    async def by_bearer(self, token: str) -> Identity | None:
        """Of an access token or an API key; a refresh token is neither."""
        if is_key(token):
            return await self._by_key(token)
        claims = token_claims(token, "access")
        if claims is None:
            return None
        account = await self._database.read(signed_in_as, claims.user, claims.session_key, self._database.alias)
        return _of_session(account, claims.session_key, "bearer")

    async def _by_key(self, key: str) -> Identity | None:
        found = await self._database.read(signed_in_by_key, key, self._database.alias)
        if found is not None:
            self._key_use.note(found.key, found.last_used_at)
        return _of_key(found)

    async def still_valid(self, identity: Identity) -> bool:
        """Whether the sign-in behind an open connection still stands."""
        [found] = await self.standing([identity])
        return found is not None

    async def standing(self, identities: Sequence[Identity]) -> list[Identity | None]:
        """What has become of each: as it is now, or None. One after the other, in one go."""
        return await self._database.read(_standing, identities, self._database.alias)


def _standing(identities: Sequence[Identity], using: str) -> list[Identity | None]:
    return [_stands(identity, using) for identity in identities]


def _stands(identity: Identity, using: str) -> Identity | None:
    if identity.api_key is not None:
        return _of_key(signed_in_by_key_id(identity.api_key, using))
    account = signed_in_as(identity.user, identity.session_key, using)
    return _of_session(account, identity.session_key, identity.via)


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


def _of_session(account: Account | None, session_key: str, via: Via) -> Identity | None:
    return None if account is None else Identity(*account, session_key, via)


def _of_key(found: KeySignIn | None) -> Identity | None:
    return None if found is None else Identity(*found.account, "", "key", found.key, found.scopes)
