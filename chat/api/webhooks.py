"""`/webhooks`: addresses that are told when a reply ends."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.generations import ERRORS
from chat.api.idempotency import once
from chat.api.replies import json_response
from chat.api.texts import Words, told
from chat.models.webhook import URL_CHARS
from chat.services import webhook_events
from chat.services.conversations import PAGE, PAGE_MOST
from chat.services.records import Page
from chat.services.webhooks import DeliveryRecord, NewWebhook, WebhookRecord

router = Router(tags=["webhooks"])

LIMIT = Query(PAGE, ge=1, le=PAGE_MOST)  # type: ignore[type-arg]  # a function, whatever ninja says of its type


class Event(StrEnum):
    COMPLETED = webhook_events.COMPLETED
    FAILED = webhook_events.FAILED


class WebhookBody(Schema):
    """Without `events`, for all of them."""

    url: Annotated[Words, Field(max_length=URL_CHARS)]
    events: Annotated[list[Event], told(minItems=1)] | None = None


class WebhooksBody(Schema):
    items: list[WebhookRecord]
    next: str | None


class DeliveriesBody(Schema):
    items: list[DeliveryRecord]
    next: str | None


@router.get("", response={200: WebhooksBody, **ERRORS})
async def index(request: HttpRequest, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """The account's webhooks, newest first, without their secrets."""
    return await runtime.current().webhooks.page(identity_of(request).user, cursor, limit)


@router.post("", response={201: NewWebhook, **ERRORS})
async def create(request: HttpRequest, body: WebhookBody) -> HttpResponse:
    """A new webhook, at a host that the server's operator has listed. `secret` signs what is sent, as Standard Webhooks
    say; it is shown in this answer alone, and where the same request is answered again by its `Idempotency-Key`."""
    user = identity_of(request).user
    events = None if body.events is None else [event.value for event in body.events]

    async def make() -> HttpResponse:
        return json_response(201, await runtime.current().webhooks.create(user, body.url, events))

    return await once(request, make)


@router.delete("/{id}", response={204: None, **ERRORS})
async def delete(request: HttpRequest, id: str) -> HttpResponse:
    """It is told nothing more, and what was still to be told it goes too."""
    await runtime.current().webhooks.delete(identity_of(request).user, id)
    return HttpResponse(status=204)


@router.get("/{id}/deliveries", response={200: DeliveriesBody, **ERRORS})
async def deliveries(request: HttpRequest, id: str, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """What it was told, and what it is still to be told, newest first. Old ones go."""
    return await runtime.current().webhooks.deliveries(identity_of(request).user, id, cursor, limit)
