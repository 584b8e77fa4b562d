"""A reply for formats that can only append: its beginning, its thinking, its text and its end, each told once.

The events say some things twice: a `snapshot` holds all that there is so far, and the last `message` the whole text. A
reader may come too late for the first events, and is told the beginning all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext_noop

from chat.events import Entry, ErrorData, StartData, Usage
from chat.sse.encoder import Encoder
from chat.wire.sse import encode_event

PIECE_CHARS = 256 * 1024
"""Of one event: there are clients that take no block of more than ten megabytes, which JSON makes of six times less."""

CUT = gettext_noop("The connection ended before the reply did, which goes on. Please load it again.")
"""What these formats say where theirs is the only way to know it."""


class Final(msgspec.Struct, gc=False):
    finish_reason: str
    usage: Usage


class _Message(msgspec.Struct, gc=False):
    delta: str
    isFinal: bool = False
    text: str = ""


class _Snapshot(msgspec.Struct, gc=False):
    text: str
    reasoning: str
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_final = msgspec.json.Decoder(Final).decode
_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode
_decode_error = msgspec.json.Decoder(ErrorData).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class AppendedReply(Encoder):
    """Of one reader. A format says how each thing looks; what it has no words for stays b"".

    `start`: of the generation, which the events may not tell any more. `text`, `reasoning`: what stood in the same
    message before it was continued; it is told first.
    """

    def __init__(self, start: StartData, text: str = "", reasoning: str = "") -> None:
        self.start = start
        self._before = (reasoning, text)
        self._is_begun = False
        self._text = self._reasoning = self._images = 0  # so much of each has been told
        self._notes: set[str] = set()

    def entry(self, entry: Entry) -> bytes:
        return b"".join([*self._begin(), *self._tell(entry)])

    def ping(self) -> bytes:
        """A comment, which every reader of event streams leaves out."""
        return b": ping\n\n"

    # What a format says

    def begin(self) -> bytes:
        return b""

    def think(self, reasoning: str) -> bytes:
        return b""

    def say(self, text: str) -> bytes:
        return b""

    def show(self, image: Mapping[str, Any]) -> bytes:
        return b""

    def note(self, note: Mapping[str, Any]) -> bytes:
        return b""

    def step(self, event: str, data: Mapping[str, Any]) -> bytes:
        """`event`: `step_start` or `step_end`."""
        return b""

    def finish(self, final: Final) -> bytes:
        return b""

    def fail(self, error: ErrorData) -> bytes:
        return b""

    # When it is said

    def _begin(self) -> Iterator[bytes]:
        if not self._is_begun:
            self._is_begun = True
            yield self.begin()
            reasoning, text = self._before
            yield from map(self.think, _pieces(reasoning))
            yield from map(self.say, _pieces(text))

    def _tell(self, entry: Entry) -> Iterator[bytes]:
        match entry.event:
            case "message":
                message = _decode_message(entry.data)
                yield from self._say(message.delta or message.text[self._text :])
                if message.isFinal:
                    yield self.finish(_decode_final(entry.data))
            case "reasoning":
                yield from self._think(_decode_object(entry.data)["delta"])
            case "snapshot":
                yield from self._catch_up(_decode_snapshot(entry.data))
            case "image":
                self._images += 1
                yield self.show(_decode_object(entry.data))
            case "note":
                yield from self._note(_decode_object(entry.data))
            case "step_start" | "step_end":
                yield self.step(entry.event, _decode_object(entry.data))
            case "error":
                yield self.fail(_decode_error(entry.data))

    def _catch_up(self, snapshot: _Snapshot) -> Iterator[bytes]:
        for note in snapshot.notes:
            if note["note"] not in self._notes:
                yield from self._note(note)
        yield from self._think(snapshot.reasoning[self._reasoning :])
        yield from self._say(snapshot.text[self._text :])
        for image in snapshot.images[self._images :]:
            self._images += 1
            yield self.show(image)

    def _note(self, note: Mapping[str, Any]) -> Iterator[bytes]:
        self._notes.add(note["note"])
        yield self.note(note)

    def _say(self, text: str) -> Iterator[bytes]:
        self._text += len(text)
        yield from map(self.say, _pieces(text))

    def _think(self, reasoning: str) -> Iterator[bytes]:
        self._reasoning += len(reasoning)
        yield from map(self.think, _pieces(reasoning))


def block(value: Any) -> bytes:
    """One JSON value as one block of the stream."""
    return encode_event(None, None, msgspec.json.encode(value))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE_CHARS):
        yield text[start : start + PIECE_CHARS]
