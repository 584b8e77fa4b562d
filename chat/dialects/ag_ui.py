"""AG-UI, protocol version 1.0: one run of an agent, as `HttpAgent` of the npm package `@ag-ui/client` asks for it.

https://docs.ag-ui.com. A thread's id is any text of the client's, the name of one of its user's conversations; a run's
id is its idempotency key, so that a run which is sent twice is one, and the second one attaches to it. Who aborts a run
only leaves it: `POST /generations/{id}/stop` ends it, with the `generation` of RUN_STARTED's metadata.

`tools`, `state`, `context` and `resume` are taken and not used: the AI is told the messages alone. `forwardedProps` may
hold `provider`, `model` and `params`, as in a send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import author_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.streams import started_stream
from chat.dialects.ag_ui_encoder import AGUIEncoder
from chat.errors import InvalidRequest
from chat.models.client_thread import THREAD_CHARS
from chat.models.conversation import SYSTEM_CHARS
from chat.services.client_threads import Thread, check_name
from chat.services.client_turns import Intent, Turn
from chat.services.requests import check_text, parse_send
from chat.services.sending import Send

router = Router(tags=["dialects"])

FORMAT = "ag-ui"

OF_A_SEND = ("provider", "model", "params", "images", "workflow")
"""What `forwardedProps` may hold, as in a send."""

SYSTEM_ROLES = ("system", "developer")

TALK = ("user", "assistant")
"""Roles of messages that stand in a conversation here; the others stand beside it, such as its thinking."""


STREAM: dict[str, Any] = {
    "description": "The run's events: `data:` lines of one JSON object each.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class AGUIMessageBody(Schema):
    id: str
    role: str
    content: str | list[dict[str, Any]] | None = None


class RunAgentBody(Schema):
    """RunAgentInput; the last of `messages` is the user's."""

    threadId: str = Field(min_length=1, max_length=THREAD_CHARS)
    runId: str = Field(min_length=1, max_length=THREAD_CHARS)
    messages: list[AGUIMessageBody] = Field(min_length=1)
    state: Any = None
    tools: list[dict[str, Any]] = []
    context: list[dict[str, Any]] = []
    forwardedProps: Any = None


@dataclass(frozen=True, slots=True)
class Run:
    thread: str
    run: str
    turn: Turn
    send: Send


@router.post(
    "",
    response=ERRORS,
    openapi_extra=described(RunAgentBody) | {"responses": {200: STREAM}},
)
async def run(request: HttpRequest) -> HttpResponseBase:
    """Answers the last message of an AG-UI thread, as the events of a run. The first use of a `threadId` makes its
    conversation; the same `runId` again is the same run."""
    author = author_of(request)
    asked = parse_run(json_object(request))
    thread = Thread(author.user, FORMAT, asked.thread)
    started = await runtime.current().client_threads.take_turn(author, thread, asked.turn, asked.send)
    return started_stream(request, started, AGUIEncoder(started.start, asked.thread, asked.run))


def parse_run(body: Mapping[str, Any]) -> Run:
    """Raises InvalidRequest, TooLarge."""
    thread, run_id = (_name(body, field) for field in ("threadId", "runId"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise _invalid(_("This must be a list of messages."), "messages")
    if messages[-1].get("role") != "user":
        raise _invalid(_("The last message must be the user's."), "messages")
    text = _text(messages[-1])
    props = body.get("forwardedProps")
    props = props if isinstance(props, Mapping) else {}
    fields = {field: props[field] for field in OF_A_SEND if field in props}
    fields["params"] = _params(fields.get("params"), messages)
    digest = hashlib.sha256("\0".join((thread, run_id)).encode()).hexdigest()
    fields |= {"message": text, "key": f"{FORMAT}:{digest}"}
    send = parse_send(fields, message_chars=settings.CHAT_MESSAGE_CHARS)
    return Run(thread, run_id, _turn(messages, text), send)


def _name(body: Mapping[str, Any], field: str) -> str:
    name = body.get(field)
    if not isinstance(name, str) or not name:
        raise _invalid(_("This must be a text."), field)
    check_name(name)
    return name


def _text(message: Mapping[str, Any]) -> str:
    """Of a text, or of parts that are texts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise _invalid(_("This must be a text."), "messages.content")
    if any(part.get("type") != "text" for part in content):
        raise _invalid(_("This server does not take files. Send text alone."), "messages.content")
    texts = [part.get("text") for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise _invalid(_("This must be a text."), "messages.content.text")
    return "\n\n".join(str(text) for text in texts)


def _turn(messages: Sequence[Mapping[str, Any]], text: str) -> Turn:
    """A run of a message that has been answered is another answer to it: this protocol has no other way to ask."""
    before = [message for message in messages[:-1] if message.get("role") in TALK]
    answer = before[-1] if before and before[-1].get("role") == "assistant" else {}
    after, own = (one if isinstance(one, str) else None for one in (answer.get("id"), messages[-1].get("id")))
    return Turn(Intent.AGAIN, text, () if own is None else (own,), after, is_first=not before)


def _params(params: Any, messages: Sequence[Mapping[str, Any]]) -> Any:
    """With the client's system message, unless they have one themselves."""
    if params is not None and (not isinstance(params, Mapping) or params.get("system") is not None):
        return params
    systems = [_text(message) for message in messages if message.get("role") in SYSTEM_ROLES]
    if not systems:
        return params
    return {**(params or {}), "system": check_text("\n\n".join(systems), "messages", SYSTEM_CHARS)}


def _invalid(words: str, name: str) -> InvalidRequest:
    return InvalidRequest(words, {"field": name}, status=422)
