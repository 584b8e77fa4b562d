"""`/ai/generate`: one prompt, one streamed answer, as older clients ask for it.

`event: message` with `{delta, isFinal}`, `event: error` with `{error, code, details, retryable}`, `event: ping`;
nothing else, and no ids. The answer streams whatever `stream` says.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Router, Schema

from chat import runtime
from chat.api.authentication import author_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.streams import started_stream
from chat.api.texts import Name, Words
from chat.dialects.appended_reply import CUT, AppendedReply, Final
from chat.errors import InvalidRequest
from chat.events import ErrorData, MessageData, encode
from chat.services.requests import check_text, parse_send
from chat.sse.encoder import NATIVE
from chat.wire.sse import encode_event

router = Router(tags=["dialects"])

END = encode_event(None, "message", encode(MessageData("", True)))


class PromptBody(Schema):
    """`provider` and `model` are those of a send; `stream` is not looked at."""

    prompt: Words
    stream: Any = True
    provider: Name | None = None
    model: Name | None = None


class GenerateEncoder(AppendedReply):
    def ping(self) -> bytes:
        return NATIVE.ping()

    def say(self, text: str) -> bytes:
        return encode_event(None, "message", encode(MessageData(text)))

    def finish(self, final: Final) -> bytes:
        return END

    def fail(self, error: ErrorData) -> bytes:
        return encode_event(None, "error", encode(error))

    def cut(self) -> bytes:
        return self.fail(ErrorData(_(CUT), "UNAVAILABLE", {}, retryable=False))


@router.post(
    "/generate",
    response=ERRORS,
    openapi_extra=described(PromptBody)
    | {
        "responses": {
            200: {
                "description": "`event: message` with `{delta, isFinal}`, `event: error`, `event: ping`",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    },
)
async def generate(request: HttpRequest) -> HttpResponseBase:
    """Answers a prompt, always as a stream. Each prompt is a conversation of its own."""
    body = json_object(request)
    prompt = check_text(body.get("prompt") or "", "prompt", settings.CHAT_MESSAGE_CHARS)
    if not prompt.strip():
        raise InvalidRequest(_("Please write a message."), {"field": "prompt"}, status=422)
    send = parse_send(
        {"message": prompt, "provider": body.get("provider"), "model": body.get("model")},
        message_chars=None,
        header_key=request.META.get("HTTP_IDEMPOTENCY_KEY") or None,
    )
    started = await runtime.current().sending.send(author_of(request), send)
    return started_stream(request, started, GenerateEncoder(started.start))
