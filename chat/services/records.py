"""The objects that the API shows, field for field; a field without a value is None, never missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chat.engine.terminal import timestamp
from chat.errors import RETRYABLE, ErrorCode
from chat.models import Conversation, Generation, Message
from chat.services.notes import of_row


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    id: str
    title: str
    provider: str | None
    model: str | None
    system: str | None
    pinned: bool
    archived: bool
    message_count: int
    running: list[str]
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    id: str
    url: str
    width: int
    height: int
    content_type: str
    bytes: int
    alt: str


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """What stands beside a reply's text: `note` and `details` are those of a `note` event."""

    note: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """`notes`: its latest generation's."""

    id: str
    conversation: str
    parent: str | None
    role: str
    text: str
    reasoning: str
    images: list[ImageRecord]
    status: str
    generation: str | None
    siblings: list[str]
    notes: list[NoteRecord]
    feedback: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class UsageRecord:
    input_tokens: int
    output_tokens: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    error: str
    code: str
    details: dict[str, Any]
    retryable: bool


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    id: str
    conversation: str
    message: str
    status: str
    seq: int
    text: str
    reasoning: str
    provider: str
    model: str
    upstream: str
    finish_reason: str | None
    usage: UsageRecord | None
    error: ErrorRecord | None
    notes: list[NoteRecord]
    first_token_ms: int | None
    duration_ms: int | None
    created_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor of the next page, None on the last."""

    items: list[Any]
    next: str | None


def conversation_record(conversation: Conversation, running: Iterable[Any] = ()) -> ConversationRecord:
    return ConversationRecord(
        str(conversation.id),
        conversation.title,
        conversation.provider or None,
        conversation.model or None,
        conversation.system or None,
        conversation.pinned,
        conversation.archived,
        conversation.message_count,
        [str(generation) for generation in running],
        timestamp(conversation.created_at),
        timestamp(conversation.updated_at),
    )


def message_record(
    message: Message, siblings: Sequence[Any], notes: Iterable[dict[str, Any]] = (), feedback: int | None = None
) -> MessageRecord:
    """`notes`: as its generation's row has them. `feedback`: 1 or -1."""
    return MessageRecord(
        str(message.id),
        str(message.conversation_id),
        _optional_id(message.parent_id),
        message.role,
        message.text,
        message.reasoning,
        [],
        message.status,
        _optional_id(message.latest_generation),
        [str(sibling) for sibling in siblings],
        of_row(notes, NoteRecord),
        feedback,
        timestamp(message.created_at),
    )


def generation_record(generation: Generation) -> GenerationRecord:
    """Of a generation fetched together with its message."""
    text, reasoning = generation_texts(generation)
    return GenerationRecord(
        str(generation.id),
        str(generation.conversation_id),
        str(generation.message_id),
        generation.status,
        generation.seq,
        text,
        reasoning,
        generation.provider,
        generation.model,
        generation.upstream,
        generation.finish_reason or None,
        usage_record(generation),
        error_record(generation),
        of_row(generation.notes, NoteRecord),
        generation.first_token_ms,
        generation.duration_ms,
        timestamp(generation.created_at),
        None if generation.finished_at is None else timestamp(generation.finished_at),
    )


def generation_texts(generation: Generation) -> tuple[str, str]:
    """Its own part of the message's text and reasoning."""
    return (
        _part(generation.message.text, generation.text_offset, generation.text_length),
        _part(generation.message.reasoning, generation.reasoning_offset, generation.reasoning_length),
    )


def usage_record(generation: Generation) -> UsageRecord | None:
    if generation.input_tokens is None or generation.output_tokens is None:
        return None
    return UsageRecord(generation.input_tokens, generation.output_tokens, generation.usage_estimated)


def error_record(generation: Generation) -> ErrorRecord | None:
    if not generation.error_code:
        return None
    return ErrorRecord(
        generation.error_message,
        generation.error_code,
        generation.error_details,
        ErrorCode(generation.error_code) in RETRYABLE,
    )


def _part(text: str, offset: int, length: int | None) -> str:
    return text[offset:] if length is None else text[offset : offset + length]


def _optional_id(value: Any) -> str | None:
    return None if value is None else str(value)
