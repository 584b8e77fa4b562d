"""A generation as the response object of OpenAI's Responses API.

Source: the OpenAI API reference, "Responses", and the types of the official SDKs.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from chat.dialects.openai_completion import created
from chat.events import FinishReason, Status
from chat.services.records import ErrorRecord, GenerationRecord, UsageRecord
from chat.services.responses import Asked, response_id

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]

_BY_FINISH: Mapping[str, ResponseStatus] = {
    FinishReason.STOP: "completed",
    FinishReason.LENGTH: "incomplete",
    FinishReason.CONTENT_FILTER: "incomplete",
    FinishReason.CANCELLED: "cancelled",
}
_INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}

_ERROR_CODES = {
    "UPSTREAM_RATE_LIMITED": "rate_limit_exceeded",
    "UPSTREAM_REJECTED": "invalid_prompt",
    "CONTENT_FILTERED": "invalid_prompt",
}
"""The format has a closed list of codes; every other failure of ours is `server_error` in it."""


@dataclass(frozen=True, slots=True)
class OutputText:
    text: str
    type: Literal["output_text"] = "output_text"
    annotations: list[str] = field(default_factory=list)
    logprobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReasoningText:
    text: str
    type: Literal["reasoning_text"] = "reasoning_text"


@dataclass(frozen=True, slots=True)
class MessageItem:
    id: str
    status: ItemStatus
    content: list[OutputText]
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


@dataclass(frozen=True, slots=True)
class ReasoningItem:
    id: str
    status: ItemStatus
    content: list[ReasoningText]
    type: Literal["reasoning"] = "reasoning"
    summary: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ResponseError:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class IncompleteDetails:
    reason: str


@dataclass(frozen=True, slots=True)
class InputTokensDetails:
    cached_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class OutputTokensDetails:
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ResponseUsage:
    """The details are not known: upstreams of many kinds answer."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()


@dataclass(frozen=True, slots=True)
class ReasoningOptions:
    effort: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class TextFormat:
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class TextOptions:
    format: TextFormat = TextFormat()


@dataclass(frozen=True, slots=True)
class Response:
    """Times are whole seconds since 1970. `error`, `incomplete_details`, `usage` and `completed_at` are null until, and
    where, they apply."""

    id: str
    created_at: int
    status: ResponseStatus
    background: bool
    completed_at: int | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[ReasoningItem | MessageItem]
    previous_response_id: str | None
    store: bool
    temperature: float | None
    top_p: float | None
    usage: ResponseUsage | None
    object: Literal["response"] = "response"
    parallel_tool_calls: bool = True
    reasoning: ReasoningOptions = ReasoningOptions()
    text: TextOptions = TextOptions()
    tool_choice: Literal["auto"] = "auto"
    tools: list[str] = field(default_factory=list)
    truncation: Literal["auto"] = "auto"


def message_id(generation: str) -> str:
    return f"msg_{uuid.UUID(generation).hex}"


def reasoning_id(generation: str) -> str:
    return f"rs_{uuid.UUID(generation).hex}"


def response(
    asked: Asked,
    model: str,
    status: ResponseStatus,
    *,
    text: str = "",
    reasoning: str = "",
    finish_reason: str | None = None,
    usage: UsageRecord | None = None,
    error: ErrorRecord | None = None,
    finished_at: str | None = None,
    thought_first: bool = True,
) -> Response:
    """`model`: who answers. `finished_at`: ISO 8601. `thought_first`: whether reasoning stands before the answer."""
    incomplete = _INCOMPLETE.get(FinishReason(finish_reason)) if finish_reason else None
    completed = finished_at if status == "completed" else None
    output = _output(asked.generation, status, text, reasoning)
    return Response(
        id=response_id(asked.generation),
        created_at=created(asked.generation),
        status=status,
        background=asked.background,
        completed_at=None if completed is None else int(datetime.fromisoformat(completed).timestamp()),
        error=None if error is None else ResponseError(error_code(error.code), error.error),
        incomplete_details=None if incomplete is None else IncompleteDetails(incomplete),
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        metadata=dict(asked.metadata),
        model=model,
        output=output if thought_first else output[::-1],
        previous_response_id=asked.previous_response_id,
        store=asked.store,
        temperature=asked.temperature,
        top_p=asked.top_p,
        usage=None if usage is None else usage_of(usage),
    )


def response_of(asked: Asked, record: GenerationRecord) -> Response:
    """As it is by now."""
    return response(
        asked,
        record.model,
        _status(asked, record),
        text=record.text,
        reasoning=record.reasoning,
        finish_reason=record.finish_reason,
        usage=record.usage,
        error=record.error,
        finished_at=record.finished_at,
    )


def status_of_finish(finish_reason: str) -> ResponseStatus:
    return _BY_FINISH[finish_reason]


def beginning(asked: Asked) -> ResponseStatus:
    return "queued" if asked.background else "in_progress"


def item_status(status: ResponseStatus) -> ItemStatus:
    """Of what was being said when the response came to this."""
    if status in ("queued", "in_progress"):
        return "in_progress"
    return "completed" if status == "completed" else "incomplete"


def reasoning_item(generation: str, status: ItemStatus, reasoning: str | None) -> ReasoningItem:
    content = [] if reasoning is None else [ReasoningText(reasoning)]
    return ReasoningItem(reasoning_id(generation), status, content)


def message_item(generation: str, status: ItemStatus, text: str | None) -> MessageItem:
    content = [] if text is None else [OutputText(text)]
    return MessageItem(message_id(generation), status, content)


def usage_of(usage: UsageRecord) -> ResponseUsage:
    return ResponseUsage(usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens)


def error_code(code: str) -> str:
    return _ERROR_CODES.get(code, "server_error")


def _status(asked: Asked, record: GenerationRecord) -> ResponseStatus:
    if record.error is not None:
        return "failed"
    if record.finish_reason is not None:
        return status_of_finish(record.finish_reason)
    return beginning(asked) if record.status == Status.QUEUED else "in_progress"


def _output(generation: str, status: ResponseStatus, text: str, reasoning: str) -> list[ReasoningItem | MessageItem]:
    last = item_status(status)
    output: list[ReasoningItem | MessageItem] = []
    if reasoning:
        output.append(reasoning_item(generation, "completed" if text else last, reasoning))
    if text:
        output.append(message_item(generation, last, text))
    return output
