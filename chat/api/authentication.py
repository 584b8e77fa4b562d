"""How an HTTP request proves who it is: the browser's session with its CSRF token, a Bearer token or an API key, alike.

What a key may do is said where an API is put together, as the `auth` of a router:

    authenticate          reads with the scope `read`; whatever changes something is for people. What is not said to be
                          another kind is of this one.
    authenticate_chat     the same, and what changes something with the scope `chat`
    authenticate_account  for people alone, reading too: keys, tokens, the account itself
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import translation
from django.utils.translation import gettext as _

from chat import runtime
from chat.api.client_address import sending_address
from chat.errors import Forbidden, Unauthenticated
from chat.served_request import of_user
from chat.services.identity import Identity
from chat.services.scopes import Scope
from chat.services.sending import Author

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def authenticate(request: HttpRequest) -> Identity:
    """Raises Unauthenticated; Forbidden for what is not a key's, and for a session's request without its CSRF token."""
    return _permitted(await _identify(request), Scope.READ if request.method in SAFE_METHODS else None)


async def authenticate_chat(request: HttpRequest) -> Identity:
    """Raises the same."""
    return _permitted(await _identify(request), Scope.READ if request.method in SAFE_METHODS else Scope.CHAT)


async def authenticate_account(request: HttpRequest) -> Identity:
    """Raises the same."""
    return _permitted(await _identify(request), None)


def _permitted(identity: Identity, scope: Scope | None) -> Identity:
    """`scope`: what a key needs here; None where it may do nothing."""
    if scope is None and identity.api_key is not None:
        raise Forbidden(_("An API key may not do this. Please sign in with your password."))
    if scope is not None:
        identity.require(scope)
    return identity


async def _identify(request: HttpRequest) -> Identity:
    identities = runtime.current().identities
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if header:
        scheme, _space, token = header.partition(" ")
        identity = await identities.by_bearer(token.strip()) if scheme.lower() == "bearer" else None
        if identity is None:
            raise Unauthenticated(_("This token is not valid (any more). Please sign in again."))
        return _known(request, identity)
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    identity = await identities.by_session(session_key) if session_key else None
    if identity is None:
        raise Unauthenticated(_("Please sign in."))
    if request.method not in SAFE_METHODS:
        _check_csrf(request)
    return _known(request, identity)


def _known(request: HttpRequest, identity: Identity) -> Identity:
    """From here on, the answer is in the language that the account has chosen; else in that of the request."""
    of_user(identity.user)
    if identity.language:
        translation.activate(identity.language)  # for this request's task alone
    return identity


def identity_of(request: HttpRequest) -> Identity:
    """Of a request that `authenticate` has passed: ninja keeps what it returned."""
    identity = getattr(request, "auth", None)
    assert isinstance(identity, Identity)
    return identity


def author_of(request: HttpRequest) -> Author:
    identity = identity_of(request)
    language = identity.language or request.LANGUAGE_CODE
    return Author(identity.user, language, key=identity.api_key, address=sending_address(request))


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
