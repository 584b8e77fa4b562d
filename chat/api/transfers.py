"""`/conversations/{id}/export` and `/conversations/import`: conversations as files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from ninja import Router, Schema

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.bodies import decoded, described, json_body
from chat.api.generations import ERRORS
from chat.api.idempotency import once
from chat.api.imported_files import ImportBody
from chat.api.replies import json_response
from chat.services.exports import file_name
from chat.services.imports import ImportRecord

router = Router(tags=["conversations"])


class ExportedFeedbackBody(Schema):
    value: int
    comment: str


class ExportedMessageBody(Schema):
    id: str
    parent: str | None
    role: str
    text: str
    reasoning: str
    status: str
    feedback: ExportedFeedbackBody | None
    created_at: str


class ExportedConversationBody(Schema):
    id: str
    title: str
    provider: str | None
    model: str | None
    system: str | None
    pinned: bool
    archived: bool
    created_at: str
    updated_at: str


class ConversationWithMessagesBody(Schema):
    conversation: ExportedConversationBody
    messages: list[ExportedMessageBody]


class ExportBody(ConversationWithMessagesBody):
    """The whole tree: messages oldest first, each with its parent."""

    format: Literal["chat.export"]
    version: Literal[1]


class AccountExportBody(Schema):
    format: Literal["chat.account"]
    version: Literal[1]
    profile: dict[str, Any]
    api_keys: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]
    conversations: list[ConversationWithMessagesBody]


_MARKDOWN = {"responses": {200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}}}


@router.post("/import", response={201: ImportRecord, **ERRORS}, openapi_extra=described(ImportBody))
async def take_in(request: HttpRequest) -> HttpResponse:
    """Imports the conversations of a file: an export of this server, of a conversation or of an account, or ChatGPT's
    `conversations.json`. All of it, or nothing where anything in it is wrong, which is named. `skipped`: messages that
    nobody saw, such as calls of tools, which are left out."""
    user, body = identity_of(request).user, json_body(request)

    async def make() -> HttpResponse:
        document = await asyncio.to_thread(decoded, body)
        return json_response(201, await runtime.current().imports.take(user, document))

    return await once(request, make)


@router.get("/{id}/export", response={200: ExportBody, **ERRORS}, openapi_extra=_MARKDOWN)
async def export(request: HttpRequest, id: str, format: Literal["json", "markdown"] = "json") -> HttpResponseBase:
    """A conversation as a file: as JSON with all that was said, which can be imported again; or as Markdown, to be
    read: the branch that was seen last, without the reasoning."""
    exports = runtime.current().exports
    conversation = await exports.conversation(identity_of(request).user, id)
    if format == "markdown":
        pieces, content_type, ending = exports.markdown(conversation), "text/markdown; charset=utf-8", "md"
    else:
        pieces, content_type, ending = exports.json(conversation), "application/json", "json"
    return download(pieces, content_type, content_disposition_header(True, file_name(conversation, ending)))


def download(pieces: AsyncIterator[bytes], content_type: str, disposition: str | None) -> HttpResponseBase:
    """The pieces as they are read."""
    headers = {"Content-Disposition": disposition or "attachment"}
    return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)
