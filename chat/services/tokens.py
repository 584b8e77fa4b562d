"""Tokens for apps: an access token for an hour, a refresh token that is exchanged at each use.

Each sign-in is a session of its own: its tokens are one family and end with it. A refresh token that comes a second
time has been copied, so the whole family ends. The tokens are allauth's, with stateful validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from allauth.headless import app_settings
from allauth.headless.tokens.strategies.jwt import internal as jwt
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, authenticate
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.utils.translation import gettext as _

from chat.errors import Unauthenticated
from chat.models import User
from chat.services.database import Database


@dataclass(frozen=True, slots=True)
class TokenPair:
    """`expires_in`: seconds that the access token lasts."""

    access: str
    refresh: str
    expires_in: int


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def sign_in(self, username: str, password: str) -> TokenPair:
        """`username` may be the e-mail address. Raises Unauthenticated."""
        return await self._database.read(_sign_in, username, password)

    async def refresh(self, token: str) -> TokenPair:
        """A new pair for a refresh token, which is used up. Raises Unauthenticated."""
        pair = await self._database.write(_refresh, token)
        if pair is None:
            raise Unauthenticated(_("This token is not valid (any more). Please sign in again."))
        return pair

    async def revoke(self, token: str) -> None:
        """Ends the family of an access or a refresh token; an unknown one ends nothing."""
        await self._database.write(_revoke, token)


def _sign_in(username: str, password: str) -> TokenPair:
    request = HttpRequest()
    user = authenticate(request, username=username, password=password)
    if user is None and "@" in username:
        user = authenticate(request, email=username.lower(), password=password)
    if not isinstance(user, User):
        raise Unauthenticated(_("The username or the password is wrong."))
    session = _store()
    session[SESSION_KEY] = user._meta.pk.value_to_string(user)
    session[BACKEND_SESSION_KEY] = user.backend
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    user_logged_in.send(sender=User, request=request, user=user)
    return _pair(user, session)


def _refresh(token: str) -> TokenPair | None:
    valid = jwt.validate_refresh_token(token)
    if valid is None:
        _end_reused(token)
        return None
    user, session, claims = valid
    jwt.invalidate_refresh_token(session, claims)
    return _pair(user, session)


def _end_reused(token: str) -> None:
    """A genuine refresh token that its session does not know any more was used before."""
    claims = jwt.decode_token(token, "refresh")
    session = None if claims is None else jwt.get_token_session(claims)
    if session is not None:
        session.flush()


def _revoke(token: str) -> None:
    claims = jwt.decode_token(token, "refresh") or jwt.decode_token(token, "access")
    session = None if claims is None else jwt.get_token_session(claims)
    if session is not None:
        session.flush()


def _pair(user: User, session: Any) -> TokenPair:
    refresh = jwt.create_refresh_token(user, session)
    session.modified = True
    session.save()
    return TokenPair(jwt.create_access_token(user, session, {}), refresh, app_settings.JWT_ACCESS_TOKEN_EXPIRES_IN)


def _store() -> SessionStore:
    store: SessionStore = import_module(settings.SESSION_ENGINE).SessionStore()
    return store
