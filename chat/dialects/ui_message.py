"""The AI SDK's chat: what `DefaultChatTransport` of the npm package `ai` sends, and its UI message stream, version 1.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol. A chat's `id` is any text of the client's, the name of one of its
user's conversations. The SDK's `stop()` only leaves: the reply goes on, and can be taken up again. Its own end is
`POST /ui/chat/{id}/stop`, or `POST /generations/{id}/stop` with the `X-Generation-Id` of the answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja import Field, Router, Schema
from pydantic import WithJsonSchema

from chat import runtime
from chat.api.authentication import author_of, identity_of
from chat.api.bodies import described, json_object
from chat.api.generations import ERRORS
from chat.api.schemas import ParamsBody
from chat.api.streams import event_stream, started_stream
from chat.api.texts import Key, Name, Text
from chat.dialects.ui_message_encoder import UIMessageEncoder
from chat.dialects.ui_message_request import FORMAT, parse_chat
from chat.engine.reader import Reader
from chat.events import LIVE, Status
from chat.models.client_thread import THREAD_CHARS
from chat.services.client_threads import Thread
from chat.services.generations import Following
from chat.services.records import MessageRecord

router = Router(tags=["dialects"])

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

STREAM: dict[str, Any] = {
    "description": "The UI message stream: `data:` lines of one JSON chunk each, then `data: [DONE]`.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


class UITextPart(Schema):
    type: Literal["text"]
    text: Text


class UIOtherPart(Schema):
    """Is left out."""

    type: Annotated[str, WithJsonSchema({"type": "string", "not": {"enum": ["text", "file"]}})]


class UIRequestMessageBody(Schema):
    """A UIMessage as it is sent: of `parts`, the texts are read."""

    id: str | None = None
    role: Literal["user", "system"]
    parts: list[UITextPart | UIOtherPart]


class UIRequestAnswerBody(Schema):
    id: str | None = None
    role: Literal["assistant"]
    parts: Any = None


class UIMessageBody(Schema):
    """A UIMessage."""

    id: str
    role: Literal["user", "assistant", "system"]
    metadata: dict[str, Any] | None = None
    parts: list[dict[str, Any]]


class UIChatBody(Schema):
    """`messages`: the history, with which a new chat begins, or the last of it, which is the user's; `messageId`: which
    of them is changed, or answered again. The others are those of a send."""

    id: Annotated[Text, Field(min_length=1, max_length=THREAD_CHARS)]
    messages: list[UIRequestMessageBody | UIRequestAnswerBody] = Field(min_length=1)
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: str | None = None
    provider: Name | None = None
    model: Name | None = None
    params: ParamsBody | None = None
    key: Key | None = None


class UIMessagesBody(Schema):
    id: str
    messages: list[UIMessageBody]


@router.post(
    "/chat",
    response=ERRORS,
    openapi_extra=described(UIChatBody) | {"responses": {200: STREAM}},
)
async def chat(request: HttpRequest) -> HttpResponseBase:
    """Answers the last message of an AI SDK chat, as its UI message stream. The first use of an `id` makes its
    conversation; the same message sent again is answered by the same reply."""
    author = author_of(request)
    asked = parse_chat(json_object(request), request.META.get("HTTP_IDEMPOTENCY_KEY") or None)
    thread = Thread(author.user, FORMAT, asked.chat)
    started = await runtime.current().client_threads.take_turn(author, thread, asked.turn, asked.send, asked.told)
    stream = started_stream(request, started, UIMessageEncoder(started.start))
    stream.own_headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    return stream


@router.get("/chat/{path:id}/stream", response={204: None, **ERRORS}, openapi_extra={"responses": {200: STREAM}})
async def stream(request: HttpRequest, id: str) -> HttpResponseBase:
    """The reply that is being written in this chat, from its beginning; the latest, where there are several. 204 when
    there is none, and of a chat that is not there."""
    user = identity_of(request).user
    current = runtime.current()
    live = await current.client_threads.live(Thread(user, FORMAT, id))
    if live is None:
        return HttpResponse(status=204)
    generation = live.start.generation

    async def attach(reader: Reader) -> Following:
        return await current.generations.follow(reader, user, generation, 0)

    headers = HEADERS | {"X-Generation-Id": generation, "X-Conversation-Id": live.start.conversation}
    return event_stream(request, attach, headers, UIMessageEncoder(live.start, live.text, live.reasoning))


@router.post("/chat/{path:id}/stop", response={204: None, **ERRORS})
async def stop(request: HttpRequest, id: str) -> HttpResponse:
    """Stops the reply that is being written in this chat, and keeps its text; 204 also when there is none."""
    current, user = runtime.current(), identity_of(request).user
    thread = Thread(user, FORMAT, id)
    await current.client_threads.check_exists(thread)
    if (live := await current.client_threads.live(thread)) is not None:
        await current.generations.stop(user, live.start.generation)
    return HttpResponse(status=204)


@router.get("/chat/{path:id}", response={200: UIMessagesBody, **ERRORS})
async def show(request: HttpRequest, id: str) -> dict[str, Any]:
    """The chat's messages, for `useChat` to begin with: its newest branch, of which the newest 200. A reply that is
    being written is left out, since the stream tells it from its beginning."""
    branch = await runtime.current().client_threads.branch(Thread(identity_of(request).user, FORMAT, id))
    return {"id": id, "messages": [_ui_message(message) for message in branch.messages if _is_said(message)]}


def _is_said(message: MessageRecord) -> bool:
    return Status(message.status) not in LIVE and bool(message.text or message.reasoning)


def _ui_message(message: MessageRecord) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if message.reasoning:
        parts.append({"type": "reasoning", "text": message.reasoning, "state": "done"})
    if message.text:
        parts.append({"type": "text", "text": message.text, "state": "done"})
    metadata = {"conversation": message.conversation, "status": message.status, "created_at": message.created_at}
    if message.generation is not None:
        parts.insert(0, {"type": "step-start"})
        metadata["generation"] = message.generation
    return {"id": message.id, "role": message.role, "metadata": metadata, "parts": parts}
