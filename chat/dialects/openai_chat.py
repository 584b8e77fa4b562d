"""`/v1/chat/completions`: any of OpenAI's clients, streaming and not.

The last message is sent; the history before it finds the conversation that it continues, or becomes a new one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja import Field, Router, Schema
from pydantic import ConfigDict

from chat import runtime
from chat.api.authentication import author_of
from chat.api.bodies import described, json_object
from chat.api.replies import json_response
from chat.api.streams import headers_of, started_stream
from chat.api.texts import Text, told
from chat.dialects import openai_errors
from chat.dialects.openai_chunks import ChunkEncoder
from chat.dialects.openai_completion import ChatCompletion, completion
from chat.dialects.openai_errors import REFUSALS, OpenAIErrorBody
from chat.dialects.openai_messages import Limits, parse_messages
from chat.dialects.openai_parameters import (
    AS_IT_IS,
    LEFT_OUT,
    check_parameters,
    flag,
    sampling,
    told_parameters,
    wants_usage,
)
from chat.services.model_names import named
from chat.services.requests import MAX_TOKENS_MOST, check_key, check_text
from chat.services.sending import Author, Send, Started

router = Router(tags=["OpenAI"])

FAILURES = dict.fromkeys((502, 504), OpenAIErrorBody)


class ChatTextPart(Schema):
    type: Literal["text"]
    text: Text


class ChatRefusalPart(Schema):
    type: Literal["refusal"]
    refusal: Text


Content = Text | list[ChatTextPart | ChatRefusalPart]
NoTools = Annotated[list[Any], told(maxItems=0)] | None


class ChatRequestMessage(Schema):
    role: Literal["system", "developer", "user"]
    content: Content
    tool_calls: NoTools = None
    function_call: None = None


class ChatRequestAnswer(Schema):
    role: Literal["assistant"]
    content: Content | None = None
    refusal: Text | None = None
    tool_calls: NoTools = None
    function_call: None = None


class ChatStreamOptions(Schema):
    include_usage: bool | None = None


def _tell_others(schema: dict[str, Any]) -> None:
    schema["properties"] |= told_parameters(LEFT_OUT, AS_IT_IS)


class ChatCompletionRequest(Schema):
    """For the schema: the fields are checked one by one, with errors that name them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_tell_others)

    model: Text = Field(description="A model's id, or `provider/model`.")
    messages: list[ChatRequestMessage | ChatRequestAnswer] = Field(
        min_length=1, description="The history; the last is the user's."
    )
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    store: bool | None = Field(None, description="`false`: in no list, and deleted some time after the reply.")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS_MOST)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS_MOST)


_SCHEMA: dict[str, Any] = described(ChatCompletionRequest) | {
    "responses": {
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "string",
                        "description": "With `stream`: `data: ` and a chunk, then `data: [DONE]`; after a failure "
                        '`data: {"error": …}` alone.',
                    }
                }
            }
        }
    },
}


@router.post("/chat/completions", response={200: ChatCompletion, **REFUSALS, **FAILURES}, openapi_extra=_SCHEMA)
async def create(request: HttpRequest) -> HttpResponseBase:
    """Answers a conversation, as a stream of chunks or whole. A client that leaves does not end the reply, which lives
    on and is kept, unless the operator has set `CHAT_ON_DISCONNECT=stop`; `POST /api/v1/generations/{id}/stop`, with
    the id from `X-Generation-Id`, does."""
    author, body = author_of(request), json_object(request)
    check_parameters(body)
    streamed, usage = flag(body, "stream", default=False), wants_usage(body)
    send = _send(body, request.META.get("HTTP_IDEMPOTENCY_KEY") or None)
    started = await runtime.current().histories.send(author, send)
    if streamed:
        return started_stream(request, started, ChunkEncoder(started.start, usage=usage))
    return await _finished(author, started)


def _send(body: dict[str, Any], key: str | None) -> Send:
    """Raises RequestError."""
    asked = parse_messages(
        body.get("messages"),
        Limits(settings.CHAT_HISTORY_MESSAGES, settings.CHAT_MESSAGE_CHARS, settings.CHAT_REPLY_CHARS),
    )
    provider, model = named(runtime.current().registry, check_text(body.get("model"), "model", None))
    return Send(
        asked.question,
        provider=provider,
        model=model,
        params=sampling(body),
        system=asked.system,
        key=check_key(key),
        history=asked.history,
        stored=flag(body, "store", default=True),
    )


async def _finished(author: Author, started: Started) -> HttpResponse:
    record = await runtime.current().generations.result(author.user, started.start.generation)
    headers = headers_of(started)
    if record.error is None:
        return json_response(200, completion(record), headers)
    status, body = openai_errors.failure(record.error.error, record.error.code, record.error.details)
    if not record.error.retryable:
        headers["X-Should-Retry"] = "false"  # the clients would, after each 5xx
    return json_response(status, body, headers)
