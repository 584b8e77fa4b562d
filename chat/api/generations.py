"""`/chat`, `/generations` and the ways to answer a message again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Router

from chat import runtime
from chat.api.authentication import author_of, identity_of
from chat.api.bodies import described, json_object
from chat.api.replies import answer, json_response
from chat.api.schemas import ErrorBody, FailedReplyBody, ProceedBody, RegenerateBody, ReplyBody, SendBody, StartBody
from chat.api.streams import event_stream
from chat.engine.reader import Reader
from chat.errors import InvalidRequest
from chat.services.generations import Following
from chat.services.records import GenerationRecord
from chat.services.requests import check_text, chosen_key, parse_send

router = Router(tags=["generations"])

REPLY = {200: ReplyBody, 202: StartBody, **dict.fromkeys((500, 502, 504), FailedReplyBody)}
ERRORS = dict.fromkeys((400, 401, 403, 404, 409, 413, 415, 422, 429, 503), ErrorBody)


@router.post("/chat", response={**REPLY, **ERRORS}, url_name="chat", openapi_extra=described(SendBody))
async def chat(request: HttpRequest) -> HttpResponseBase:
    """Sends a message. The answer is the stream of events, or the finished reply as JSON, by `Accept`; with
    `Prefer: respond-async`, 202 at once."""
    author = author_of(request)
    send = parse_send(json_object(request), message_chars=settings.CHAT_MESSAGE_CHARS, header_key=_header_key(request))
    started = await runtime.current().sending.send(author, send)
    return await answer(request, author, started)


@router.get("/generations/{id}", response={200: GenerationRecord, **ERRORS})
async def show(request: HttpRequest, id: str) -> HttpResponse:
    """How a reply stands, and its text so far."""
    # Encoded here: a reply may be megabytes, and the framework's way would copy it several times.
    return json_response(200, await runtime.current().generations.get(identity_of(request).user, id))


@router.get("/generations/{id}/events", response={200: None, 204: None, **ERRORS})
async def events(request: HttpRequest, id: str) -> HttpResponseBase:
    """The events behind `Last-Event-ID` or `?after=`, as a stream; 204 when nothing is left."""
    user, after = identity_of(request).user, _cursor(request)
    current = runtime.current()
    if await current.generations.nothing_left(user, id, after):
        return HttpResponse(status=204)

    async def attach(reader: Reader) -> Following:
        return await current.generations.follow(reader, user, id, after)

    return event_stream(request, attach, {"X-Generation-Id": id})


@router.post("/generations/{id}/stop", response={200: GenerationRecord, **ERRORS})
async def stop(request: HttpRequest, id: str) -> GenerationRecord:
    """Ends a reply; what was said is kept. One that has ended already is answered as it is."""
    return await runtime.current().generations.stop(identity_of(request).user, id)


@router.post("/generations/{id}/pause", response={200: GenerationRecord, **ERRORS})
async def pause(request: HttpRequest, id: str) -> GenerationRecord:
    """Holds a reply, for a while at most; then it goes on by itself."""
    return await runtime.current().generations.pause(identity_of(request).user, id)


@router.post("/generations/{id}/resume", response={200: GenerationRecord, **ERRORS})
async def resume(request: HttpRequest, id: str) -> GenerationRecord:
    """Lets a paused reply go on."""
    return await runtime.current().generations.resume(identity_of(request).user, id)


@router.post(
    "/messages/{id}/regenerate", response={**REPLY, **ERRORS}, openapi_extra=described(RegenerateBody, required=False)
)
async def regenerate(request: HttpRequest, id: str) -> HttpResponseBase:
    """Another answer, a sibling of the first."""
    author, body = author_of(request), json_object(request, required=False)
    provider, model = (
        check_text(body[name], name, None) if body.get(name) not in (None, "") else None
        for name in ("provider", "model")
    )
    key = _key(request, body)
    started = await runtime.current().sending.regenerate(author, id, provider, model, key)
    return await answer(request, author, started)


@router.post("/messages/{id}/edit", response={**REPLY, **ERRORS}, openapi_extra=described(SendBody))
async def edit(request: HttpRequest, id: str) -> HttpResponseBase:
    """The same question in other words, a sibling of the first, and its answer."""
    author = author_of(request)
    send = parse_send(json_object(request), message_chars=settings.CHAT_MESSAGE_CHARS, header_key=_header_key(request))
    started = await runtime.current().sending.edit(author, id, send)
    return await answer(request, author, started)


@router.post(
    "/messages/{id}/continue", response={**REPLY, **ERRORS}, openapi_extra=described(ProceedBody, required=False)
)
async def proceed(request: HttpRequest, id: str) -> HttpResponseBase:
    """The same answer goes on where it ended."""
    author, body = author_of(request), json_object(request, required=False)
    key = _key(request, body)
    started = await runtime.current().sending.proceed(author, id, key)
    return await answer(request, author, started)


def _key(request: HttpRequest, body: Mapping[str, Any]) -> str | None:
    return chosen_key(body.get("key"), _header_key(request))


def _header_key(request: HttpRequest) -> str | None:
    return request.META.get("HTTP_IDEMPOTENCY_KEY") or None


def _cursor(request: HttpRequest) -> int:
    """The header goes before. An empty one is none."""
    values = [value for value in (request.META.get("HTTP_LAST_EVENT_ID"), *request.GET.getlist("after")) if value]
    if not all(value.isascii() and value.isdigit() and len(value) <= 15 for value in values):
        raise InvalidRequest(_("The cursor is a whole number, 0 or more."), {"field": "after"}, status=422)
    return int(values[0]) if values else 0
