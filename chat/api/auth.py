"""`/auth` and `/me`: tokens for apps, and who one is."""

from __future__ import annotations

from allauth.core.internal.httpkit import get_client_ip
from allauth.core.internal.ratelimit import truncate_ip
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Router

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.generations import ERRORS
from chat.api.schemas import CredentialsBody, MeBody, RefreshBody, RevokeBody, TokensBody
from chat.errors import Unauthenticated
from chat.services.tokens import TokenPair

router = Router(tags=["accounts"])


@router.post("/auth/token", auth=None, response={200: TokensBody, **ERRORS})
async def token(request: HttpRequest, body: CredentialsBody) -> TokenPair:
    """Username or e-mail address, and password, for a pair of tokens."""
    current = runtime.current()
    current.limits.login(client_address(request))
    return await current.tokens.sign_in(body.username, body.password)


@router.post("/auth/refresh", auth=None, response={200: TokensBody, **ERRORS})
async def refresh(request: HttpRequest, body: RefreshBody) -> TokenPair:
    """A new pair; the given token is used up. One that comes again ends its whole family."""
    return await runtime.current().tokens.refresh(body.refresh)


@router.post("/auth/revoke", auth=None, response={204: None, **ERRORS})
async def revoke(request: HttpRequest, body: RevokeBody | None = None) -> HttpResponse:
    """Ends the family of the refresh token, or of the Bearer token itself."""
    given = (body.refresh if body is not None else None) or _bearer(request)
    if not given:
        raise Unauthenticated(_("Send the refresh token, or the Bearer token, that shall end."))
    await runtime.current().tokens.revoke(given)
    return HttpResponse(status=204)


@router.get("/me", response={200: MeBody, **ERRORS})
async def me(request: HttpRequest) -> dict[str, object]:
    identity = identity_of(request)
    return {
        "id": str(identity.user),
        "username": identity.username,
        "email": identity.email,
        "is_staff": identity.is_staff,
        "language": identity.language or request.LANGUAGE_CODE,
    }


def client_address(request: HttpRequest) -> str:
    """Where a request comes from, as rates count it: behind a trusted proxy the address that it names; of IPv6 the
    network, since one person has very many addresses. Counted alike for the sign-in page."""
    address: str = truncate_ip(get_client_ip(request) or "unknown")
    return address


def _bearer(request: HttpRequest) -> str:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
