"""JSON as upstreams write it."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import msgspec

Frame = TypeVar("Frame", bound=msgspec.Struct)


class FrameDecoder(Generic[Frame]):
    """Reads objects of one shape; fields that are not in it are passed over. `strict`: a number is no text."""

    def __init__(self, shape: type[Frame], *, strict: bool = False) -> None:
        self._shape = shape
        self._strict = strict
        self._decode = msgspec.json.Decoder(shape, strict=strict).decode

    def decode(self, data: bytes | bytearray) -> Frame:
        """Raises ValueError."""
        try:
            return self._decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._decode_leniently(bytes(data))

    def _decode_leniently(self, data: bytes) -> Frame:
        """The standard library reads lone surrogates, which some upstreams send by splitting a pair."""
        try:
            return msgspec.convert(json.loads(data.decode("utf-8", "replace")), self._shape, strict=self._strict)
        except (ValueError, RecursionError) as error:
            raise ValueError("not of this shape") from error


def json_value(data: bytes | bytearray | str) -> Any:
    """What it says, read as leniently as FrameDecoder does. Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_json(data: bytes | bytearray) -> bool:
    """Whether it is one whole JSON value."""
    try:
        json_value(data)
    except ValueError:
        return False
    return True


def json_object(data: bytes | bytearray | str) -> dict[str, Any] | None:
    """The object that it is, or that a list begins with, as some upstreams wrap their errors; else None."""
    try:
        value = json_value(data)
    except ValueError:
        return None
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None
