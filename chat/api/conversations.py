"""`/conversations` and their messages."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.idempotency import once
from chat.api.replies import json_response
from chat.api.schemas import ConversationsBody, MessagesBody
from chat.api.texts import Text, told
from chat.errors import InvalidRequest
from chat.models.conversation import SYSTEM_CHARS, TITLE_CHARS
from chat.services.conversations import PAGE, PAGE_MOST
from chat.services.records import ConversationRecord, Page
from chat.services.requests import check_text

router = Router(tags=["conversations"])

_TEXTS = {"title": TITLE_CHARS, "provider": 100, "model": 200, "system": SYSTEM_CHARS}
_SWITCHES = ("pinned", "archived")

Limit = Annotated[int, told(minimum=1, maximum=PAGE_MOST)]
"""Of a list, for `checked_limit`, which says more than the framework does."""


class ConversationFieldsBody(Schema):
    """What its owner may set. Null is as good as empty."""

    title: Annotated[Text, Field(max_length=TITLE_CHARS)] | None = None
    provider: Annotated[Text, Field(max_length=100)] | None = None
    model: Annotated[Text, Field(max_length=200)] | None = None
    system: Annotated[Text, Field(max_length=SYSTEM_CHARS)] | None = None
    pinned: bool = False
    archived: bool = False


@router.get("", response={200: ConversationsBody, **ERRORS})
async def index(
    request: HttpRequest,
    cursor: str | None = None,
    limit: Limit = PAGE,
    pinned: bool | None = None,
    archived: bool | None = None,
) -> Page:
    """The conversations, newest first; all, or those that are, or are not, pinned or archived."""
    only = {name: value for name, value in (("pinned", pinned), ("archived", archived)) if value is not None}
    return await runtime.current().conversations.page(identity_of(request).user, cursor, checked_limit(limit), only)


@router.post(
    "", response={201: ConversationRecord, **ERRORS}, openapi_extra=described(ConversationFieldsBody, required=False)
)
async def create(request: HttpRequest) -> HttpResponse:
    """A conversation without messages."""
    user, fields = identity_of(request).user, _fields(json_object(request, required=False))

    async def make() -> HttpResponse:
        return json_response(201, await runtime.current().conversations.create(user, fields))

    return await once(request, make)


@router.get("/{id}", response={200: ConversationRecord, **ERRORS})
async def show(request: HttpRequest, id: str) -> ConversationRecord:
    """One conversation, without its messages."""
    return await runtime.current().conversations.get(identity_of(request).user, id)


@router.patch("/{id}", response={200: ConversationRecord, **ERRORS}, openapi_extra=described(ConversationFieldsBody))
async def change(request: HttpRequest, id: str) -> ConversationRecord:
    """Changes the fields that are given."""
    return await runtime.current().conversations.change(identity_of(request).user, id, _fields(json_object(request)))


@router.delete("/{id}", response={204: None, **ERRORS})
async def delete(request: HttpRequest, id: str) -> HttpResponse:
    """Deletes a conversation with its messages; its live replies are stopped first."""
    current, user = runtime.current(), identity_of(request).user
    for generation in await current.conversations.live_generations(user, id):
        await current.generations.stop(user, generation)
    await current.conversations.delete(user, id)
    return HttpResponse(status=204)


@router.get("/{id}/messages", response={200: MessagesBody, **ERRORS})
async def messages(request: HttpRequest, id: str, cursor: str | None = None, limit: Limit = PAGE) -> HttpResponse:
    """All messages of its tree, oldest first: each names its parent and its siblings."""
    page = await runtime.current().conversations.messages(identity_of(request).user, id, cursor, checked_limit(limit))
    return json_response(200, page)


def checked_limit(limit: int) -> int:
    """Of a list; raises InvalidRequest."""
    if not 1 <= limit <= PAGE_MOST:
        raise InvalidRequest(
            _("A page holds from 1 to %(most)d items.") % {"most": PAGE_MOST}, {"field": "limit"}, status=422
        )
    return limit


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: "" if body[name] is None else check_text(body[name], name, most)
        for name, most in _TEXTS.items()
        if name in body
    }
    for name in _SWITCHES:
        if name in body:
            if not isinstance(body[name], bool):
                raise InvalidRequest(_("This must be true or false."), {"field": name}, status=422)
            fields[name] = body[name]
    return fields
