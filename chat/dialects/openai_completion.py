"""A finished reply as a chat completion, and what its chunks have in common with it.

Source: the OpenAI API reference, "The chat completion object".
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from ninja import Schema

from chat.services.records import GenerationRecord

FinishReason = Literal["stop", "length", "content_filter"]


class ChatCompletionUsage(Schema):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletionMessage(Schema):
    """`reasoning_content`: only where the model has shown what it thinks."""

    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning_content: str | None = None


class ChatCompletionChoice(Schema):
    index: int
    message: ChatCompletionMessage
    logprobs: None
    finish_reason: FinishReason


class ChatCompletion(Schema):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatCompletionChoice]
    usage: ChatCompletionUsage | None


def completion_id(generation: str) -> str:
    return f"chatcmpl-{generation}"


def created(generation: str) -> int:
    """Unix time; a generation's id begins with its milliseconds."""
    return (uuid.UUID(generation).int >> 80) // 1000


def finish_reason(reason: str | None) -> FinishReason:
    """A reply that somebody stopped has ended well."""
    match reason:
        case "length" | "content_filter":
            return reason
    return "stop"


def usage_of(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(record: GenerationRecord) -> dict[str, Any]:
    """Of one that has ended well."""
    message: dict[str, Any] = {"role": "assistant", "content": record.text, "refusal": None}
    if record.reasoning:
        message["reasoning_content"] = record.reasoning
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(record.finish_reason),
    }
    usage = record.usage
    return {
        "id": completion_id(record.id),
        "object": "chat.completion",
        "created": created(record.id),
        "model": record.model,
        "choices": [choice],
        "usage": None if usage is None else usage_of(usage.input_tokens, usage.output_tokens),
    }
