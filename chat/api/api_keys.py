"""`/api-keys`: for people alone, a key makes no keys."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema
from pydantic import BeforeValidator

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.generations import ERRORS
from chat.api.idempotency import once
from chat.api.replies import json_response
from chat.api.texts import Words, told
from chat.models.api_key import KEY_NAME_CHARS
from chat.services.api_keys import ApiKeyRecord, NewApiKey
from chat.services.conversations import PAGE, PAGE_MOST
from chat.services.records import Page
from chat.services.scopes import Scope

router = Router(tags=["accounts"])

MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")
"""As ISO 8601 begins."""


def _written(value: Any) -> Any:
    """Seconds since 1970 are not taken for a moment, nor is a day."""
    if not isinstance(value, str) or not MOMENT.match(value):
        raise ValueError("no moment")
    return value


class ApiKeyBody(Schema):
    """Without `scopes`, the key has all; without `expires_at`, it is good until it is deleted."""

    name: Annotated[Words, Field(max_length=KEY_NAME_CHARS)]
    scopes: Annotated[list[Scope], told(minItems=1)] | None = None
    expires_at: Annotated[datetime, BeforeValidator(_written)] | None = None


class ApiKeysBody(Schema):
    items: list[ApiKeyRecord]
    next: str | None


@router.get("", response={200: ApiKeysBody, **ERRORS})
async def index(
    request: HttpRequest, cursor: str | None = None, limit: Annotated[int, Field(ge=1, le=PAGE_MOST)] = PAGE
) -> Page:
    """The account's API keys, newest first, without the keys themselves."""
    return await runtime.current().api_keys.page(identity_of(request).user, cursor, limit)


@router.post("", response={201: NewApiKey, **ERRORS})
async def create(request: HttpRequest, body: ApiKeyBody) -> HttpResponse:
    """A new API key, to be used as a Bearer token. `key` is shown in this answer alone: where the same request is
    answered again by its `Idempotency-Key`, it is null."""
    user = identity_of(request).user

    async def make() -> HttpResponse:
        return json_response(
            201, await runtime.current().api_keys.create(user, body.name, body.scopes, body.expires_at)
        )

    return await once(request, make, hidden=("key",))


@router.delete("/{id}", response={204: None, **ERRORS})
async def delete(request: HttpRequest, id: str) -> HttpResponse:
    """It is refused from now on, and the streams that were opened with it end."""
    await runtime.current().api_keys.delete(identity_of(request).user, id)
    return HttpResponse(status=204)
