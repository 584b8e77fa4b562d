"""`/messages`: one of them, and what its reader thinks of it. Those that answer it again are the generations'."""

from __future__ import annotations

from typing import Annotated, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.replies import json_response
from chat.api.texts import Text
from chat.models.feedback import COMMENT_CHARS
from chat.services.records import MessageRecord

router = Router(tags=["messages"])


class FeedbackBody(Schema):
    """`value`: 1 for good, -1 for bad; 0 takes it back."""

    value: Literal[1, 0, -1]
    comment: Annotated[Text, Field(max_length=COMMENT_CHARS)] | None = None


@router.get("/{id}", response={200: MessageRecord, **ERRORS})
async def show(request: HttpRequest, id: str) -> HttpResponse:
    """One message, as the list of its conversation has it."""
    [message] = await runtime.current().conversations.messages_by_id(identity_of(request).user, [id])
    return json_response(200, message)


@router.post("/{id}/feedback", response={200: MessageRecord, **ERRORS}, openapi_extra=described(FeedbackBody))
async def feedback(request: HttpRequest, id: str) -> HttpResponse:
    """Judges an answer, in the place of an earlier judgement, and answers the message. A user's message is 409."""
    user, body = identity_of(request).user, json_object(request)
    message = await runtime.current().conversations.judge(user, id, body.get("value"), body.get("comment"))
    return json_response(200, message)
