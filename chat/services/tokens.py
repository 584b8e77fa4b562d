"""Tokens for apps: a password buys a pair, a refresh token buys the next pair once, and a family ends as a whole.

A family of tokens is a session of its own, as django-allauth's headless tokens have it: the session knows the one
refresh token that is good, and every access token names the session, so they all die with it.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from allauth.account import app_settings as account_settings
from allauth.account.utils import has_verified_email
from allauth.headless import app_settings
from allauth.headless.tokens.strategies.jwt import internal as jwt
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from chat.errors import Forbidden, Unauthenticated
from chat.models import User
from chat.services.database import Database
from chat.services.identity import TokenClaims, token_claims
from chat.services.requests import check_text
from chat.services.sign_in import signed_in

LOGIN_CHARS = 320
"""The longest e-mail address that there can be; user names are shorter."""
PASSWORD_CHARS = 4096
"""Hashing costs by length: a longer one is not a password but an attack."""
NAMESAKES = 5
"""Accounts that a name in another case, or an address used twice, may fit; more are not looked at."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """`expires_in`: the seconds that the access token is good for."""

    access: str
    refresh: str
    expires_in: int


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def sign_in(self, username: str, password: str) -> TokenPair:
        """For a user name or an e-mail address, and its password. Starts a family.

        Raises InvalidRequest or TooLarge for what can be no password; Unauthenticated, without telling, in words or in
        time, whether there is such an account; and Forbidden for one whose address must be confirmed first, as on the
        page, where to sign in sends the message again.
        """
        check_text(username, "username", LOGIN_CHARS)
        check_text(password, "password", PASSWORD_CHARS)
        user = await self._database.read(_account, username)
        upgraded: list[str] = []
        # Off the event loop and off the reading threads: a password hash takes long on purpose.
        fits = await asyncio.to_thread(_password_fits, password, user, upgraded)
        pair = None
        if user is not None and fits:
            await self._check_address(user)
            pair = await self._database.write(_start_family, user.id, user.password, upgraded)
        if pair is None:
            raise Unauthenticated(_("The user name or the password is wrong."))
        return pair

    async def _check_address(self, user: User) -> None:
        if account_settings.EMAIL_VERIFICATION != account_settings.EmailVerificationMethod.MANDATORY:
            return
        if not await self._database.read(has_verified_email, user):
            words = _("Please confirm your e-mail address first. To sign in on the website sends the message again.")
            raise Forbidden(words)

    async def refresh(self, refresh: str) -> TokenPair:
        """The next pair of the family. A refresh token that was used before ends the family: one of the two who
        used it is a thief. Raises Unauthenticated."""
        claims = token_claims(refresh, "refresh")
        pair = None if claims is None else await self._database.write(_rotate, claims)
        if pair is None:
            raise Unauthenticated(_("This token is not valid (any more). Please sign in again."))
        return pair

    async def revoke(self, token: str) -> None:
        """Ends the family of an access or a refresh token; one that is none, or no longer, ends nothing."""
        claims = token_claims(token, "access") or token_claims(token, "refresh")
        if claims is not None:
            await self._database.write(_end_family, claims.session_key)


def _account(login: str) -> User | None:
    """An e-mail address is somebody's before it is a user name: nobody takes over a name that looks like one."""
    found = list(User.objects.filter(Q(username__iexact=login) | Q(email__iexact=login))[:NAMESAKES])
    by_email = [user for user in found if user.email.lower() == login.lower()]
    by_exact_name = [user for user in found if user.username == login]
    by_name = [user for user in found if user.username.lower() == login.lower()]
    return next((users[0] for users in (by_email, by_exact_name, by_name) if len(users) == 1), None)


def _password_fits(password: str, user: User | None, upgraded: list[str]) -> bool:
    """`upgraded` gets the password's new hash where the old one is of a weaker kind."""
    if user is None:
        make_password(password)  # the same work as for an account, so that time does not tell them apart
        return False

    def upgrade(raw: str) -> None:
        upgraded.append(make_password(raw))

    return check_password(password, user.password, upgrade) and user.is_active


def _start_family(user_id: uuid.UUID, checked: str, upgraded: list[str]) -> TokenPair | None:
    """None where the account has changed since `checked`, its password's hash, was checked."""
    user = User.objects.select_for_update(of=("self",)).filter(pk=user_id, is_active=True, password=checked).first()
    if user is None:
        return None
    changed = ["last_login"]
    user.last_login = timezone.now()
    if upgraded:
        user.password = upgraded[0]
        changed.append("password")
    user.save(update_fields=changed)
    session = SessionStore()
    session[SESSION_KEY] = user._meta.pk.value_to_string(user)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.set_expiry(app_settings.JWT_REFRESH_TOKEN_EXPIRES_IN)
    session.create()
    return _next_pair(session, user)


def _rotate(claims: TokenClaims) -> TokenPair | None:
    """Returns instead of raising: an exception would roll the end of a stolen family back."""
    # The lock, where the database has one: of two who use the same token at once, the second finds it used.
    if Session.objects.select_for_update().filter(pk=claims.session_key).first() is None:
        return None
    account = signed_in(claims.session_key, DEFAULT_DB_ALIAS)
    if account is None or account.user != claims.user:
        return None
    session, user = SessionStore(claims.session_key), User.objects.get(pk=account.user)
    good = jwt.get_refresh_token_state(session)
    if good.pop(claims.token, None) is None:
        session.delete()
        return None
    return _next_pair(session, user)


def _next_pair(session: SessionStore, user: User) -> TokenPair:
    refresh = jwt.create_refresh_token(user, session)
    access = jwt.create_access_token(user, session, {})
    session.save()
    return TokenPair(access, refresh, app_settings.JWT_ACCESS_TOKEN_EXPIRES_IN)


def _end_family(session_key: str) -> None:
    Session.objects.filter(pk=session_key).delete()
