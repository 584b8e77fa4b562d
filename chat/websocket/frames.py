"""The socket's frames: JSON objects in, events and answers out.

An event's frame is the event's data with its type, its generation and its seq; the answers to commands are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from django.utils.translation import gettext as _
from msgspec import UNSET, UnsetType

from chat.engine.terminal import timestamp
from chat.errors import ChatError, InvalidRequest
from chat.events import Entry, StartData

_encoder = msgspec.json.Encoder()


class Frame(msgspec.Struct, tag_field="type", kw_only=True):
    """What the server says of itself."""


class Accepted(Frame, tag="accepted"):
    """A send was taken, and its message is stored. It comes before the first event, and names the same as `start`."""

    ref: Any
    generation: str
    conversation: str
    user_message: str | None
    message: str
    provider: str
    model: str
    upstream: str


class Refused(Frame, tag="refused"):
    """A command was not obeyed: words for a person, a code and details for a program. The socket stays open."""

    ref: Any
    error: str
    code: str
    details: Mapping[str, Any]


class End(Frame, tag="end"):
    """Nothing is left of a generation that has ended; `seq` is its last event's."""

    generation: str
    seq: int


class ConversationChanged(Frame, tag="conversation"):
    """Another device of the user's, or staff, has changed the conversation `id`: look again. It comes at most once."""

    action: Literal["created", "updated", "deleted", "message"]
    id: str
    title: str | UnsetType = UNSET
    generation: str | UnsetType = UNSET


class Pong(Frame, tag="pong"):
    """`timestamp`: ISO 8601, UTC."""

    timestamp: str


class Heartbeat(Frame, tag="ping"):
    """In silence. `timestamp`: ISO 8601, UTC."""

    timestamp: str


FRAMES: tuple[type[Frame], ...] = (Accepted, Refused, End, ConversationChanged, Pong, Heartbeat)


def decode(text: str) -> dict[str, Any]:
    """One command, as it was sent. Raises InvalidRequest."""
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):  # the last of arrays in arrays in arrays
        raise InvalidRequest(_("This frame is not JSON.")) from None
    if not isinstance(frame, dict):
        raise InvalidRequest(_("A frame is a JSON object."))
    return frame


def event(generation: str, entry: Entry) -> str:
    """The event's data with its type, generation and seq; the data is spliced in as it was encoded."""
    if entry.event == "start":  # its data names the generation
        head = f'{{"type":"start","seq":{entry.seq},'
    elif entry.event in ("step_start", "step_end"):  # their data names the type
        head = f'{{"generation":"{generation}","seq":{entry.seq},'
    else:
        head = f'{{"type":"{entry.event}","generation":"{generation}","seq":{entry.seq},'
    return head + entry.data[1:].decode()


def accepted(ref: Any, start: StartData) -> str:
    return _encode(Accepted(ref=ref, **msgspec.structs.asdict(start)))


def refused(ref: Any, error: ChatError) -> str:
    return _encode(Refused(ref=ref, error=error.message, code=error.code, details=dict(error.details)))


def conversation_changed(nudge: Mapping[str, Any]) -> str:
    fields = {name: nudge[name] for name in ConversationChanged.__struct_fields__ if name in nudge}
    return _encode(ConversationChanged(**fields))


def end(generation: str, seq: int) -> str:
    return f'{{"type":"end","generation":"{generation}","seq":{seq}}}'


def ping() -> str:
    return _encode(Heartbeat(timestamp=timestamp(datetime.now(UTC))))


def pong() -> str:
    return _encode(Pong(timestamp=timestamp(datetime.now(UTC))))


def _encode(frame: Frame) -> str:
    return _encoder.encode(frame).decode()
