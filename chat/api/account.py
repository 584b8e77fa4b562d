"""`/me`: who one is, in which language, with what; and the end of the account."""

from __future__ import annotations

from typing import Annotated

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import authenticate, authenticate_account, identity_of
from chat.api.bodies import described, json_object
from chat.api.client_address import client_address
from chat.api.generations import ERRORS
from chat.api.schemas import MeBody
from chat.api.texts import Text
from chat.api.transfers import AccountExportBody, download
from chat.errors import Forbidden, Unauthenticated
from chat.services.identity import Identity
from chat.services.tokens import PASSWORD_CHARS

router = Router(tags=["accounts"], auth=authenticate_account)


class LanguageBody(Schema):
    """`language`: one that the server speaks, such as `en` or `zh-hans`; null, or empty, for that of each request."""

    language: str | None = Field(
        None, json_schema_extra={"enum": [*(code for code, _name in settings.LANGUAGES), "", None]}
    )


class FarewellBody(Schema):
    """The password; of an account that has none, in `confirm` its user name."""

    password: Annotated[Text, Field(max_length=PASSWORD_CHARS)] | None = None
    confirm: str | None = None


@router.get("/me", auth=authenticate, response={200: MeBody, **ERRORS})
async def me(request: HttpRequest) -> dict[str, object]:
    """Whose sign-in this is."""
    identity = identity_of(request)
    return _me(request, identity, identity.language)


@router.patch("/me", response={200: MeBody, **ERRORS}, openapi_extra=described(LanguageBody))
async def change(request: HttpRequest) -> dict[str, object]:
    """Chooses the language in which this account is refused, and told of failures, on every transport from now on."""
    identity, body = identity_of(request), json_object(request)
    language = identity.language
    if "language" in body:
        language = await runtime.current().languages.choose(identity.user, body["language"])
    return _me(request, identity, language)


@router.delete("/me", response={204: None, **ERRORS}, openapi_extra=described(FarewellBody))
async def delete(request: HttpRequest) -> HttpResponse:
    """Deletes the account with all that it has, for good: its replies are stopped, its sign-ins and keys end. A wrong
    password is 403, and counts as an attempt to sign in; staff are refused with 409."""
    current, identity, body = runtime.current(), identity_of(request), json_object(request)
    try:
        async with current.limits.login(client_address(request), identity.username):
            await current.account_deletion.confirm(identity.user, body.get("password"), body.get("confirm"))
    except Unauthenticated:
        raise Forbidden(_("The password is wrong."), {"field": "password"}) from None
    await current.account_deletion.delete(identity.user)
    return HttpResponse(status=204)


@router.get("/me/export", response={200: AccountExportBody, **ERRORS})
async def export(request: HttpRequest) -> HttpResponseBase:
    """All that the account has, as one JSON document: profile, API keys and webhooks without their secrets, and
    conversations with all messages and their feedback. `POST /conversations/import` takes its conversations."""
    pieces = runtime.current().exports.account(identity_of(request).user)
    return download(pieces, "application/json", content_disposition_header(True, "chat-account.json"))


def _me(request: HttpRequest, identity: Identity, language: str) -> dict[str, object]:
    return {
        "id": str(identity.user),
        "username": identity.username,
        "email": identity.email,
        "is_staff": identity.is_staff,
        "language": language or request.LANGUAGE_CODE,
    }
