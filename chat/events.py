"""What happens in a generation, as values.

Two vocabularies meet in the engine: what a provider yields (`ProviderEvent`) and what the log holds (`Entry`).
A provider's deltas are merged; an entry is numbered and encoded once, and travels to every reader as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

import msgspec


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"


class Status(StrEnum):
    """A generation's status; `LIVE` and `ENDED` say which can still change."""

    QUEUED = "queued"
    STREAMING = "streaming"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


LIVE = frozenset({Status.QUEUED, Status.STREAMING, Status.PAUSED})
ENDED = frozenset(Status) - LIVE


class Text(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer, to append."""

    delta: str


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """A piece of the model's thinking, to append; shown apart from the answer."""

    delta: str


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens, cumulative: the last report of a run replaces the ones before. `estimated`: counted by us."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The upstream's proper end mark. A run without one has failed, whatever it sent."""

    reason: FinishReason


ProviderEvent = Text | Reasoning | Usage | Finish


class Note(msgspec.Struct, frozen=True, gc=False):
    """What a reader should know about a reply beside its text; the data of a `note` event. By `note`, `details` are:

    queued     {"position": int}          it waits for its turn at the upstream; 1 is the next, 0: its turn has come.
                                          Passing: nowhere stored
    trimmed    {"left_out": int}          so many of the oldest messages were not sent: more than the model takes
    fallback   {"provider", "model", "upstream", "asked", "asked_model", "asked_upstream"}
                                          who answers, and the three of who was asked first
    cached     {"seconds": int}           the answer to the same question, given so many seconds ago
    """

    note: Literal["queued", "trimmed", "fallback", "cached"]
    details: Mapping[str, Any]


Tell = Callable[[Note], None]
"""Is given a note, before the first token. It must not block."""


LOG_VERSION = 1
"""Of the events as a shared log has them: workers of other versions leave each other's generations alone."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One numbered event: `seq` from 1 without a gap, `event` its name, `data` its JSON object as UTF-8."""

    seq: int
    event: str
    data: bytes | bytearray


EventName = Literal[
    "start", "message", "reasoning", "step_start", "step_end", "image", "error", "snapshot", "takeover", "note", "ping"
]


class MessageData(msgspec.Struct, frozen=True, gc=False):
    delta: str
    isFinal: bool = False


class ReasoningData(msgspec.Struct, frozen=True, gc=False):
    delta: str


class StartData(msgspec.Struct, frozen=True, gc=False):
    generation: str
    conversation: str
    user_message: str | None
    message: str
    provider: str
    model: str
    upstream: str


class StepStartData(msgspec.Struct, frozen=True, gc=False, tag="step_start"):
    """A step of a workflow begins; `index` from 0."""

    index: int
    total: int
    name: str


class StepEndData(msgspec.Struct, frozen=True, gc=False, tag="step_end"):
    index: int
    name: str
    duration_ms: int


class ImageData(msgspec.Struct, frozen=True, gc=False):
    """A picture in the reply. `width` and `height` in pixels, `alt` in words."""

    url: str
    width: int
    height: int
    alt: str


class FinalData(msgspec.Struct, frozen=True, gc=False):
    """The last event of a good run. `timestamp`: ISO 8601, UTC."""

    finish_reason: str
    usage: Usage
    text: str
    timestamp: str
    image_url: str | None = None
    delta: str = ""
    isFinal: bool = True


class ErrorData(msgspec.Struct, frozen=True, gc=False):
    """The last event of a failed run."""

    error: str
    code: str
    details: Mapping[str, Any]
    retryable: bool


class TakeoverData(msgspec.Struct, frozen=True, gc=False):
    """Another worker goes on with the reply, where it broke off."""

    reason: str


class SnapshotData(msgspec.Struct, frozen=True, gc=False):
    """All there is so far, for a reader whose cursor is older than what the log still holds."""

    text: str
    reasoning: str
    status: str
    steps: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    notes: Sequence[Note] = ()


class PingData(msgspec.Struct, frozen=True, gc=False):
    """In silence. It has no seq and is never stored. `timestamp`: ISO 8601, UTC."""

    timestamp: str


EVENT_DATA: Mapping[EventName, tuple[type[msgspec.Struct], ...]] = {
    "start": (StartData,),
    "message": (MessageData, FinalData),
    "reasoning": (ReasoningData,),
    "step_start": (StepStartData,),
    "step_end": (StepEndData,),
    "image": (ImageData,),
    "note": (Note,),
    "takeover": (TakeoverData,),
    "snapshot": (SnapshotData,),
    "error": (ErrorData,),
    "ping": (PingData,),
}
"""What each event's data can be. The shapes that clients are told of are made from these."""

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""A data struct to its JSON object as UTF-8 bytes."""


def encode_long(data: msgspec.Struct, chars: int) -> bytes | bytearray:
    """The same for one that holds a text of so many characters: into a buffer that need not grow by doubling, and that
    is not copied at the end."""
    buffer = bytearray(chars + chars // 16 + 1024)
    _encoder.encode_into(data, buffer)
    return buffer
