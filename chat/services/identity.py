"""Who is asking: an account, found by its browser session or by an app's token, the same for every transport."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from allauth.headless.tokens.strategies.jwt import internal as jwt
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from chat.models import User
from chat.services.database import Database


@dataclass(frozen=True, slots=True)
class Identity:
    """`session_key`: what the sign-in rests on; it ends with that session."""

    user: uuid.UUID
    username: str
    email: str
    is_staff: bool
    language: str
    session_key: str
    via: Literal["session", "bearer"]


class Identities:
    """Each method answers None for what is not, or no longer, a sign-in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_session(self, session_key: str) -> Identity | None:
        return await self._database.read(_of_session, session_key, "session")

    async def by_bearer(self, token: str) -> Identity | None:
        claims = jwt.decode_token(token, "access")
        session_key = None if claims is None else jwt.session_key_from_sid(claims["sid"])
        if claims is None or session_key is None:
            return None
        identity = await self._database.read(_of_session, session_key, "bearer")
        return identity if identity is not None and str(identity.user) == str(uuid.UUID(claims["sub"])) else None

    async def still_valid(self, identity: Identity) -> bool:
        """Whether the sign-in behind an open connection still stands."""
        return await self._database.read(_of_session, identity.session_key, identity.via) is not None


def _of_session(session_key: str, via: Literal["session", "bearer"]) -> Identity | None:
    request = HttpRequest()
    request.session = SessionStore(session_key)
    if SESSION_KEY not in request.session:
        return None
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active:
        return None
    return Identity(user.id, user.username, user.email, user.is_staff, user.language, session_key, via)
