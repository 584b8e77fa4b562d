"""How an HTTP request proves who it is: the browser's session with its CSRF token, or a Bearer token, alike."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext as _

from chat import runtime
from chat.errors import Forbidden, Unauthenticated
from chat.served_request import of_user
from chat.services.identity import Identity
from chat.services.sending import Author

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def authenticate(request: HttpRequest) -> Identity:
    """Raises Unauthenticated, or Forbidden for a session's request without its CSRF token."""
    identities = runtime.current().identities
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if header:
        scheme, _space, token = header.partition(" ")
        identity = await identities.by_bearer(token.strip()) if scheme.lower() == "bearer" else None
        if identity is None:
            raise Unauthenticated(_("This token is not valid (any more). Please sign in again."))
        of_user(identity.user)
        return identity
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    identity = await identities.by_session(session_key) if session_key else None
    if identity is None:
        raise Unauthenticated(_("Please sign in."))
    if request.method not in SAFE_METHODS:
        _check_csrf(request)
    of_user(identity.user)
    return identity


def identity_of(request: HttpRequest) -> Identity:
    """Of a request that `authenticate` has passed: ninja keeps what it returned."""
    identity = getattr(request, "auth", None)
    assert isinstance(identity, Identity)
    return identity


def author_of(request: HttpRequest) -> Author:
    identity = identity_of(request)
    return Author(identity.user, identity.language or request.LANGUAGE_CODE)


class _CsrfCheck(CsrfViewMiddleware):
    """Django's own check, for its verdict alone."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        raise Forbidden(_("The security token is missing or wrong. Please reload the page."))


def _no_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _check_csrf(request: HttpRequest) -> None:
    check = _CsrfCheck(_no_view)
    check.process_request(request)
    check.process_view(request, _no_view, (), {})
