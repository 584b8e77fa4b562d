"""AG-UI, protocol version 1.0: one run of an agent, as `HttpAgent` of the npm package `@ag-ui/client` asks for it.

https://docs.ag-ui.com. A thread's id is any text of the client's, the name of one of its user's conversations; a run's
id is its idempotency key, so that a run which is sent twice is one, and the second one attaches to it. Who aborts a run
only leaves it: `POST /generations/{id}/stop` ends it, with the `generation` of RUN_STARTED's metadata.

`tools`, `state`, `context` and `resume` are taken and not used: the AI is told the messages alone. `forwardedProps` may
hold `provider`, `model` and `params`, as in a send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema
from pydantic import WithJsonSchema

from chat import runtime
from chat.api.authentication import author_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.schemas import ParamsBody
from chat.api.streams import started_stream
from chat.api.texts import STORABLE, Name, Text, told
from chat.dialects.ag_ui_encoder import AGUIEncoder
from chat.dialects.client_messages import Message, invalid, messages_of, text_in, text_of, told_before, turn_of, under
from chat.models.client_thread import THREAD_CHARS
from chat.services.client_threads import Thread, Told
from chat.services.client_turns import Intent, Turn
from chat.services.requests import check_text, parse_send
from chat.services.sending import Send

router = Router(tags=["dialects"])

FORMAT = "ag-ui"

OF_A_SEND = ("provider", "model", "params", "images", "workflow")
"""What `forwardedProps` may hold, as in a send."""

SYSTEM_ROLES = ("system", "developer")

STREAM: dict[str, Any] = {
    "description": "The run's events: `data:` lines of one JSON object each.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class AGUITextPart(Schema):
    type: Literal["text"]
    text: Text


class AGUIMessageBody(Schema):
    """Of the user, or of who instructs the AI."""

    id: str | None = None
    role: Literal["user", "system", "developer"]
    content: Text | list[AGUITextPart]


class AGUIOtherMessageBody(Schema):
    """An answer, or what stands beside the conversation."""

    id: str | None = None
    role: Annotated[str, WithJsonSchema({"type": "string", "not": {"enum": ["user", *SYSTEM_ROLES]}})]
    content: Annotated[Any, WithJsonSchema({"pattern": STORABLE})] = None


class ForwardedBody(Schema):
    """As in a send; what else there is, is not used."""

    provider: Name | None = None
    model: Name | None = None
    params: ParamsBody | None = None
    images: Annotated[list[str], told(maxItems=0)] | None = None
    workflow: None = None


class RunAgentBody(Schema):
    """RunAgentInput; the last of `messages` is the user's. A new thread begins with those before it. `tools`, `state`
    and `context` are taken and not used."""

    threadId: Annotated[Text, Field(min_length=1, max_length=THREAD_CHARS)]
    runId: Annotated[Text, Field(min_length=1, max_length=THREAD_CHARS)]
    messages: list[AGUIMessageBody | AGUIOtherMessageBody] = Field(min_length=1)
    state: Any = None
    tools: Any = None
    context: Any = None
    forwardedProps: ForwardedBody | str | float | bool | list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """`thread`, `run`: the client's names for them; `told`: what was said in the thread before."""

    thread: str
    run: str
    turn: Turn
    send: Send
    told: Told


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
    started = await runtime.current().client_threads.take_turn(author, thread, asked.turn, asked.send, asked.told)
    return started_stream(request, started, AGUIEncoder(started.start, asked.thread, asked.run))


def parse_run(body: Mapping[str, Any]) -> Run:
    """Raises InvalidRequest, TooLarge."""
    thread, run_id = (_name(body, field) for field in ("threadId", "runId"))
    messages = messages_of(body.get("messages"))
    text = _text(messages[-1])
    props = body.get("forwardedProps")
    props = props if isinstance(props, Mapping) else {}
    fields = {field: props[field] for field in OF_A_SEND if field in props}
    systems = (_text(message) for message in messages if message.get("role") in SYSTEM_ROLES)
    fields["params"] = under(fields.get("params"), systems)
    digest = hashlib.sha256("\0".join((thread, run_id)).encode()).hexdigest()
    fields |= {"message": text, "key": f"{FORMAT}:{digest}"}
    send = parse_send(fields, message_chars=settings.CHAT_MESSAGE_CHARS)
    # A run of a message that has been answered is another answer to it: this protocol has no other way to ask.
    turn = turn_of(Intent.AGAIN, messages, text, (messages[-1].get("id"),))
    return Run(thread, run_id, turn, send, told_before(messages, _says))


def _name(body: Mapping[str, Any], field: str) -> str:
    name = body.get(field)
    if not isinstance(name, str) or not name:
        raise invalid(_("This must be a text."), field)
    return check_text(name, field, THREAD_CHARS)


def _text(message: Message) -> str:
    """Of a text, or of parts that are texts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise invalid(_("This must be a text."), "messages.content")
    if any(part.get("type") != "text" for part in content):
        raise invalid(_("This server does not take files. Send text alone."), "messages.content")
    return text_of(content, "messages.content")


def _says(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return text_in(content)
    return content if isinstance(content, str) else ""
