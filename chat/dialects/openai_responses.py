"""OpenAI's Responses API: `/v1/responses`. A response is a generation; its id is the generation's, behind `resp_`.

Source: the OpenAI API reference, "Responses", and its guide "Background mode".

A response lives on when its client leaves, in the background or not (`CHAT_ON_DISCONNECT` decides otherwise), and each
may be followed again from any of its events; `background` decides whether the request waits for it, and whether it can
be cancelled. One that failed is answered as a response whose `status` is `failed`, with its `error` and what was said.
"""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import WithJsonSchema

from chat import runtime
from chat.api.authentication import author_of, identity_of
from chat.api.bodies import described, json_object
from chat.api.replies import json_response
from chat.api.streams import event_stream, headers_of, started_stream
from chat.api.texts import told
from chat.dialects import response_request
from chat.dialects.openai_errors import REFUSALS, Refused
from chat.dialects.response_body import ResponseRequestBody
from chat.dialects.response_encoder import ResponseEncoder
from chat.dialects.response_events import NOTHING
from chat.dialects.response_object import Response, response_of
from chat.engine.reader import Reader
from chat.services.generations import Following
from chat.services.requests import check_key
from chat.services.responses import INSTRUCTIONS, SYSTEM, recorded, response_id
from chat.services.sending import Send

router = Router(tags=["responses"])

_EVENTS: dict[str, Any] = {
    "type": "string",
    "description": "With `stream`: the events of the Responses API, from `response.created` to `response.completed`, "
    "`response.incomplete` or `response.failed`.",
}
STREAMS: dict[str, Any] = {"responses": {200: {"content": {"text/event-stream": {"schema": _EVENTS}}}}}
BODY: dict[str, Any] = described(ResponseRequestBody)
CURSOR_DIGITS = 10

Switch = Annotated[str, WithJsonSchema({"type": "string", "enum": ["true", "false", "1", "0"]})]
Cursor = Annotated[str, told(pattern=f"^[0-9]{{1,{CURSOR_DIGITS}}}$")]


class DeletedBody(Schema):
    id: str
    object: str
    deleted: bool


@router.post("/responses", response={200: Response, **REFUSALS}, openapi_extra=BODY | STREAMS)
async def create(request: HttpRequest) -> HttpResponseBase:
    """Sends a message. The answer is the finished response; with `stream`, its events; with `background`, the response
    as it begins."""
    asked = response_request.parse(json_object(request))
    author, current = author_of(request), runtime.current()
    remembered = {
        "background": asked.background,
        INSTRUCTIONS: asked.instructions,
        SYSTEM: asked.told,
        "metadata": asked.metadata,
        "previous_response_id": asked.previous_response_id,
    }
    send = Send(
        asked.message,
        model=asked.model,
        params=asked.params,
        system=asked.system,
        key=check_key(request.META.get("HTTP_IDEMPOTENCY_KEY") or None),
        history=asked.history,
        stored=asked.store,
        recorded=recorded(remembered),
    )
    started = await current.responses.start(author, send, asked.previous_response_id)
    known = await current.responses.get(author.user, response_id(started.start.generation))
    if asked.stream:
        return started_stream(request, started, ResponseEncoder(known.asked, known.model))
    generation = known.generation
    if not asked.background:
        generation = await current.generations.result(author.user, generation.id)
    return json_response(200, response_of(known.asked, generation), headers_of(started))


@router.get("/responses/{id}", response={200: Response, **REFUSALS}, openapi_extra=STREAMS)
async def show(
    request: HttpRequest, id: str, stream: Switch | None = None, starting_after: Cursor | None = None
) -> HttpResponseBase:
    """The response as it is by now; with `stream=true`, its events, those behind `starting_after`."""
    current, user = runtime.current(), identity_of(request).user
    streamed, after = _is_true(stream), _cursor(starting_after)
    known = await current.responses.get(user, id)
    if not streamed:
        return json_response(200, response_of(known.asked, known.generation))
    encoder = ResponseEncoder(known.asked, known.model, after)

    async def attach(reader: Reader) -> Following:
        return await current.generations.follow(reader, user, known.generation.id, 0)

    headers = {"X-Generation-Id": known.generation.id, "X-Conversation-Id": known.generation.conversation}
    return event_stream(request, attach, headers, encoder)


@router.post("/responses/{id}/cancel", response={200: Response, **REFUSALS})
async def cancel(request: HttpRequest, id: str) -> HttpResponse:
    """Stops a response in the background, and answers what it has come to."""
    cancelled = await runtime.current().responses.cancel(identity_of(request).user, id)
    return json_response(200, response_of(cancelled.asked, cancelled.generation))


@router.delete("/responses/{id}", response={200: DeletedBody, **REFUSALS})
async def delete(request: HttpRequest, id: str) -> HttpResponse:
    """Deletes the answer, with its question where nothing else answers that, and with its conversation where nothing
    else is in that. A response that was continued is refused with 409."""
    await runtime.current().responses.delete(identity_of(request).user, id)
    return json_response(200, {"id": id, "object": "response", "deleted": True})


def _is_true(value: str | None) -> bool:
    if value in (None, "false", "0"):
        return False
    if value in ("true", "1"):
        return True
    raise Refused(_("This must be true or false."), "stream", "invalid_type")


def _cursor(value: str | None) -> int:
    if value is None:
        return NOTHING
    if not value.isascii() or not value.isdigit() or len(value) > CURSOR_DIGITS:
        raise Refused(_("This must be the number of an event."), "starting_after", "invalid_value")
    return int(value)
