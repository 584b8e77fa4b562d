"""`/conversations` and their messages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Router, Status

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.bodies import json_object
from chat.api.generations import ERRORS
from chat.api.schemas import ConversationsBody, MessagesBody
from chat.errors import InvalidRequest
from chat.models.conversation import SYSTEM_CHARS, TITLE_CHARS
from chat.services.conversations import PAGE, PAGE_MOST
from chat.services.records import ConversationRecord, Page
from chat.services.requests import check_text

router = Router(tags=["conversations"])

_TEXTS = {"title": TITLE_CHARS, "provider": 100, "model": 200, "system": SYSTEM_CHARS}
_SWITCHES = ("pinned", "archived")


@router.get("", response={200: ConversationsBody, **ERRORS})
async def index(request: HttpRequest, cursor: str | None = None, limit: int = PAGE) -> Page:
    """Newest first."""
    return await runtime.current().conversations.page(identity_of(request).user, cursor, _limit(limit))


@router.post("", response={201: ConversationRecord, **ERRORS})
async def create(request: HttpRequest) -> Status[ConversationRecord]:
    fields = _fields(json_object(request, required=False))
    return Status(201, await runtime.current().conversations.create(identity_of(request).user, fields))


@router.get("/{id}", response={200: ConversationRecord, **ERRORS})
async def show(request: HttpRequest, id: str) -> ConversationRecord:
    return await runtime.current().conversations.get(identity_of(request).user, id)


@router.patch("/{id}", response={200: ConversationRecord, **ERRORS})
async def change(request: HttpRequest, id: str) -> ConversationRecord:
    return await runtime.current().conversations.change(identity_of(request).user, id, _fields(json_object(request)))


@router.delete("/{id}", response={204: None, **ERRORS})
async def delete(request: HttpRequest, id: str) -> HttpResponse:
    """Its live replies are stopped first."""
    current, user = runtime.current(), identity_of(request).user
    for generation in await current.conversations.live_generations(user, id):
        await current.generations.stop(user, generation)
    await current.conversations.delete(user, id)
    return HttpResponse(status=204)


@router.get("/{id}/messages", response={200: MessagesBody, **ERRORS})
async def messages(request: HttpRequest, id: str, cursor: str | None = None, limit: int = PAGE) -> Page:
    """Oldest first."""
    return await runtime.current().conversations.messages(identity_of(request).user, id, cursor, _limit(limit))


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MOST:
        raise InvalidRequest(
            _("A page holds from 1 to %(most)d items.") % {"most": PAGE_MOST}, {"field": "limit"}, status=422
        )
    return limit


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: check_text(body[name] or "", name, most) for name, most in _TEXTS.items() if name in body
    }
    for name in _SWITCHES:
        if name in body:
            if not isinstance(body[name], bool):
                raise InvalidRequest(_("This must be true or false."), {"field": name}, status=422)
            fields[name] = body[name]
    return fields
