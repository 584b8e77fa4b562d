"""The socket's frames: JSON objects in, events out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.errors import ChatError, InvalidRequest
from chat.events import Entry

_encoder = msgspec.json.Encoder()


def decode(text: str) -> dict[str, Any]:
    """One command. Raises InvalidRequest."""
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise InvalidRequest(_("This frame is not JSON.")) from None
    if not isinstance(frame, dict):
        raise InvalidRequest(_("A frame is a JSON object."))
    return frame


def encode(frame: Mapping[str, Any]) -> str:
    return _encoder.encode(frame).decode()


def event(generation: str, entry: Entry) -> str:
    """The event's data with its type, generation and seq; the data is spliced in as it was encoded."""
    if entry.event == "start":  # its data names the generation
        head = f'{{"type":"start","seq":{entry.seq},'
    elif entry.event in ("step_start", "step_end"):  # their data names the type
        head = f'{{"generation":"{generation}","seq":{entry.seq},'
    else:
        head = f'{{"type":"{entry.event}","generation":"{generation}","seq":{entry.seq},'
    return head + entry.data[1:].decode()


def end(generation: str, seq: int) -> str:
    return f'{{"type":"end","generation":"{generation}","seq":{seq}}}'


def ping() -> str:
    return encode({"type": "ping", "timestamp": timestamp(datetime.now(UTC))})


def pong() -> str:
    return encode({"type": "pong", "timestamp": timestamp(datetime.now(UTC))})


def refused(ref: Any, error: ChatError) -> str:
    return encode(
        {
            "type": "refused",
            "ref": ref,
            "error": error.message,
            "code": error.code,
            "details": dict(error.details),
        }
    )
