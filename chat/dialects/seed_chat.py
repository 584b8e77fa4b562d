"""`/api/chat`: `{uid, message}`, as older clients send it; they know no conversations.

The answer's blocks hold one line each, `data: {"uid", "message": <delta>, "index"}` with `index` from 0, then
`data: {"is_end": true}`, or `data: {"error", "code", "is_end": true}`; no comments, no pings and no other field, since
these clients split at blank lines and expect `data: ` first.

What they send is one chat that goes on, and so it is here: one conversation of the account, which is found in its list
like any other. Whoever deletes it begins anew with the next message.
"""

from __future__ import annotations

from typing import Annotated, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import author_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.streams import started_stream
from chat.api.texts import Name, Words
from chat.dialects.appended_reply import CUT, AppendedReply, Final, block
from chat.errors import InvalidRequest
from chat.events import ErrorData, StartData
from chat.services.client_threads import Thread
from chat.services.requests import check_text, parse_send, whole_number
from chat.wire.sse import encode_event

router = Router(tags=["dialects"])

NO_UID = "用户ID不能为空"
NO_MESSAGE = "消息内容不能为空"
"""What these clients know, whatever the language."""

FORMAT = "seed"
UID_CHARS = 100

END = encode_event(None, None, b'{"is_end": true}')


class SeedChatBody(Schema):
    """`uid`: the account's own `id`, or the number that staff have given it, which may be written as a text.
    `provider` and `model` are those of a send."""

    uid: Annotated[Words, Field(max_length=UID_CHARS)] | int
    message: Words
    provider: Name | None = None
    model: Name | None = None


class SeedChatEncoder(AppendedReply):
    def __init__(self, start: StartData, uid: str | int) -> None:
        super().__init__(start)
        self._uid = uid
        self._index = 0

    def ping(self) -> bytes:
        return b""

    def say(self, text: str) -> bytes:
        said = block({"uid": self._uid, "message": text, "index": self._index})
        self._index += 1
        return said

    def finish(self, final: Final) -> bytes:
        return END

    def fail(self, error: ErrorData) -> bytes:
        return block({"error": error.error, "code": error.code, "is_end": True})

    def cut(self) -> bytes:
        return block({"error": _(CUT), "code": "UNAVAILABLE", "is_end": True})


@router.post(
    "/chat",
    response=ERRORS,
    url_name="seed-chat",
    openapi_extra=described(SeedChatBody)
    | {
        "responses": {
            200: {
                "description": '`data: {"uid", "message", "index"}` for each piece, then `data: {"is_end": true}`',
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    },
)
async def chat(request: HttpRequest) -> HttpResponseBase:
    """Sends a message to the account's one conversation of this format, and streams the answer. A `uid` that is not the
    caller's is 404."""
    author, body = author_of(request), json_object(request)
    uid = _uid(body.get("uid"))
    message = check_text(body.get("message") or "", "message", settings.CHAT_MESSAGE_CHARS)
    if not message.strip():
        raise InvalidRequest(NO_MESSAGE, {"field": "message"}, status=422)
    current = runtime.current()
    await current.uids.check(author.user, uid)
    send = parse_send(
        {"message": message, "provider": body.get("provider"), "model": body.get("model")},
        message_chars=None,
        header_key=request.META.get("HTTP_IDEMPOTENCY_KEY") or None,
    )
    started = await current.client_threads.send(author, Thread(author.user, FORMAT, ""), send)
    return started_stream(request, started, SeedChatEncoder(started.start, uid))


def _uid(value: Any) -> str | int:
    """As the client wrote it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InvalidRequest(NO_UID, {"field": "uid"}, status=422)
    if (number := whole_number(value)) is not None:
        return number
    if isinstance(value, str):
        return check_text(value, "uid", UID_CHARS)
    raise InvalidRequest(_("This must be a number or a text."), {"field": "uid"}, status=422)
