"""`/auth` and `/me`: tokens for apps, and who one is."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Router

from chat import runtime
from chat.api.authentication import authenticate_account, identity_of
from chat.api.bodies import described, json_object
from chat.api.client_address import client_address
from chat.api.generations import ERRORS
from chat.api.schemas import CredentialsBody, RefreshBody, RevokeBody, SignOutEverywhereBody, TokensBody
from chat.errors import Forbidden, InvalidRequest, Unauthenticated
from chat.services.key_sign_in import is_key
from chat.services.requests import check_text
from chat.services.tokens import TokenPair

router = Router(tags=["accounts"])


@router.post("/auth/token", auth=None, response={200: TokensBody, **ERRORS})
async def token(request: HttpRequest, body: CredentialsBody) -> TokenPair:
    """Username or e-mail address, and password, for a pair of tokens."""
    current = runtime.current()
    async with current.limits.login(client_address(request), body.username):
        return await current.tokens.sign_in(body.username, body.password)


@router.post("/auth/refresh", auth=None, response={200: TokensBody, **ERRORS})
async def refresh(request: HttpRequest, body: RefreshBody) -> TokenPair:
    """A new pair; the given token is used up. One that comes again ends its whole family."""
    return await runtime.current().tokens.refresh(body.refresh)


@router.post(
    "/auth/revoke", auth=None, response={204: None, **ERRORS}, openapi_extra=described(RevokeBody, required=False)
)
async def revoke(request: HttpRequest) -> HttpResponse:
    """Ends the family of the refresh token, or of the Bearer token itself."""
    refresh = json_object(request, required=False).get("refresh")
    given = (None if refresh is None else check_text(refresh, "refresh", None)) or _bearer(request)
    if not given:
        raise Unauthenticated(_("Send the refresh token, or the Bearer token, that shall end."))
    if is_key(given):
        raise Forbidden(_("An API key is deleted by its owner, among the account's API keys."))
    await runtime.current().tokens.revoke(given)
    return HttpResponse(status=204)


@router.post(
    "/auth/sign-out-everywhere",
    auth=authenticate_account,
    response={204: None, **ERRORS},
    openapi_extra=described(SignOutEverywhereBody, required=False),
)
async def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """Ends every sign-in of the account, in browsers and in apps, this one too, and the streams that are open with
    them; with `api_keys`, deletes its API keys as well."""
    api_keys = json_object(request, required=False).get("api_keys", False)
    if not isinstance(api_keys, bool):
        raise InvalidRequest(_("This must be true or false."), {"field": "api_keys"}, status=422)
    await runtime.current().sign_ins.end_all(identity_of(request).user, api_keys=api_keys)
    return HttpResponse(status=204)


def _bearer(request: HttpRequest) -> str:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
