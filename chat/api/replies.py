"""The three ways to answer a send: the events as a stream, the finished reply as JSON, or 202 at once."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from chat import runtime
from chat.api.streams import headers_of, started_stream
from chat.services.records import GenerationRecord
from chat.services.sending import Author, Started

_STATUS_OF_FAILURE = {"UPSTREAM_TIMEOUT": 504}


async def answer(request: HttpRequest, author: Author, started: Started) -> HttpResponseBase:
    headers = headers_of(started)
    if "respond-async" in request.META.get("HTTP_PREFER", ""):
        location = f"/api/v1/generations/{started.start.generation}"
        return json_response(
            202, started.start, headers | {"Location": location, "Preference-Applied": "respond-async"}
        )
    if wants_json(request):
        return await _finished(author, started, headers)
    return started_stream(request, started)


def wants_json(request: HttpRequest) -> bool:
    """JSON only where the client names it and no stream."""
    accept = request.META.get("HTTP_ACCEPT", "*/*")
    return "application/json" in accept and "text/event-stream" not in accept


def json_response(status: int, value: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(value), status=status, content_type="application/json", headers=headers)


async def _finished(author: Author, started: Started, headers: dict[str, str]) -> HttpResponse:
    current = runtime.current()
    record = await current.generations.result(author.user, started.start.generation)
    if record.error is not None:
        return json_response(_status(record), _failure(record), headers)
    ids = [id for id in (started.start.user_message, started.start.message) if id is not None]
    messages = {message.id: message for message in await current.conversations.messages_by_id(author.user, ids)}
    reply = {
        "generation": record,
        "conversation": record.conversation,
        "user_message": messages.get(started.start.user_message or ""),
        "message": messages[started.start.message],
    }
    return json_response(200, reply, headers)


def _status(record: GenerationRecord) -> int:
    assert record.error is not None
    code = record.error.code
    return _STATUS_OF_FAILURE.get(code, 502 if code.startswith("UPSTREAM_") else 500)


def _failure(record: GenerationRecord) -> dict[str, Any]:
    assert record.error is not None
    return {
        "error": record.error.error,
        "code": record.error.code,
        "details": record.error.details,
        "retryable": record.error.retryable,
        "generation": record.id,
        "text": record.text,
    }
