"""What real upstreams do to a stream without meaning anything by it, as transformations of a capture.

Sources: the HTML standard, "Server-sent events"; RFC 6455, 5.4 and 5.5; and what servers, and the proxies before them,
are seen to send: Baidu and Spark write no blank after a colon, DeepSeek and llama.cpp comments to keep the connection,
truncating proxies no empty line at the end, gateways add fields of their own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from websockets.frames import Opcode

from tests.upstreams.capture import Capture, Framing
from tests.upstreams.played import Play, message

MEGABYTES = 3 << 20
"""A long line that is no fault yet: pictures in Base64 are as long."""

_FIELD = re.compile(rb"^(data|event|id|retry): ", re.MULTILINE)
_DATA = re.compile(rb"^(data: ?)(\{.*\})$", re.MULTILINE)
_UNKNOWN = {"a": [1, None, {"b": "你"}], "type": "x", "c": True}


class Quirk(NamedTuple):
    """`play` is the capture with the quirk, ended as the upstream ends it; None where there is nothing to change."""

    framings: Sequence[Framing]
    play: Callable[[Capture], Play | None]


def quirks_of(capture: Capture) -> list[str]:
    """The names of those that may come with this capture and change something in it."""
    return [
        name
        for name, quirk in QUIRKS.items()
        if capture.stream.framing in quirk.framings
        and name not in capture.stream.not_quirks
        and quirk.play(capture) is not None
    ]


def _http(change: Callable[[Capture], list[bytes]]) -> Callable[[Capture], Play | None]:
    def play(capture: Capture) -> Play | None:
        frames = change(capture)
        return None if frames == capture.frames else Play(frames)

    return play


def _each(change: Callable[[bytes], bytes]) -> Callable[[Capture], Play | None]:
    return _http(lambda capture: [change(frame) for frame in capture.frames])


def _between(*strange: bytes) -> Callable[[Capture], Play | None]:
    """Before the first frame, between any two, and behind the last."""

    def change(capture: Capture) -> list[bytes]:
        frames = capture.frames
        if not frames[-1].endswith(b"\n\n" if capture.stream.framing == "sse" else b"\n"):
            frames[-1] += b"\n\n"
        others = itertools.cycle(strange)
        return [next(others), *itertools.chain.from_iterable((frame, next(others)) for frame in frames)]

    return _http(change)


def _numbered(capture: Capture) -> list[bytes]:
    return [b"id: %d\nretry: 3000\n%b" % (number, frame) for number, frame in enumerate(capture.frames)]


def _by_bytes(change: Callable[[bytes], bytes]) -> Callable[[Capture], Play | None]:
    """Each byte in a read of its own."""
    return lambda capture: Play([change(frame) for frame in capture.frames], reads="bytes")


def _without_end(capture: Capture) -> list[bytes]:
    *before, last = capture.frames
    return [*before, last.rstrip(b"\n")]


def _crlf(frame: bytes) -> bytes:
    return frame.replace(b"\n", b"\r\n")


def _cr(frame: bytes) -> bytes:
    return frame.replace(b"\n", b"\r")


# JSON


def _of_json(change: Callable[[Any], Any]) -> Callable[[Capture], Play | None]:
    """The same, with each JSON object in it changed."""

    def play(capture: Capture) -> Play | None:
        frames = [changed(frame, capture.stream.framing, change) for frame in capture.frames]
        return None if frames == capture.frames else _ended(capture, frames)

    return play


def changed(frame: bytes, framing: Framing, change: Callable[[Any], Any]) -> bytes:
    """The frame with each JSON object in it changed."""
    if framing == "sse":
        return _DATA.sub(lambda found: found[1] + _encoded(change(json.loads(found[2]))), frame)
    return _encoded(change(json.loads(frame))) + (b"\n" if framing == "ndjson" else b"")


def _encoded(value: Any) -> bytes:
    """UTF-8; where a lone surrogate stands in it, ASCII."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _with_unknown_fields(value: Any) -> Any:
    """In every object, before and behind what is known."""
    if isinstance(value, dict):
        known = {name: _with_unknown_fields(item) for name, item in value.items()}
        return {"x_future": _UNKNOWN, **known, "xFuture": None}
    return [_with_unknown_fields(item) for item in value] if isinstance(value, list) else value


def _with_megabytes(value: Any) -> Any:
    return {"x_padding": "x" * MEGABYTES, **value} if isinstance(value, dict) else value


def _one_line_of_megabytes(capture: Capture) -> Play | None:
    """Which is the one in the middle."""
    frames, framing = capture.frames, capture.stream.framing
    for number in sorted(range(capture.required), key=lambda number: abs(number - capture.required // 2)):
        longer = changed(frames[number], framing, _with_megabytes)
        if longer != frames[number]:
            return _ended(capture, [*frames[:number], longer, *frames[number + 1 :]])
    return None


def _half_characters(capture: Capture) -> Play:
    """In a field of no interest, also in a last frame that lacks its end."""
    framing = capture.stream.framing
    *before, last = [changed(frame, framing, lambda value: {**value, "x_half": "a\ud83d"}) for frame in capture.frames]
    return _ended(capture, [*before, last if framing == "frames" else last.rstrip(b"\n")])


def _unknown_frames(capture: Capture) -> Play | None:
    """Of a type that nobody has heard of, where the fixture has no such frame of its own."""
    frame = capture.stream.unknown.strip().encode()
    if capture.stream.framing == "sse":
        frame = frame or b'event: x.future\ndata: {"type": "x.future", "x": {"y": [1]}}'
        frame += b"\n\n"
    elif not frame:
        return None
    elif capture.stream.framing == "ndjson":
        frame += b"\n"
    frames = capture.frames[: capture.required - 1]
    mixed = itertools.chain.from_iterable((frame, each) for each in frames)
    return _ended(capture, [*mixed, frame, *capture.frames[capture.required - 1 :]])


def _ended(capture: Capture, frames: Sequence[bytes]) -> Play:
    return Play(frames, "hold" if capture.leaves_closing_to_client else "orderly")


# WebSocket


def _raw(change: Callable[[bytes], Iterable[bytes]]) -> Callable[[Capture], Play | None]:
    """Each message as these bytes on the wire, each in a read of its own."""

    def play(capture: Capture) -> Play:
        wire = itertools.chain.from_iterable(change(frame) for frame in capture.frames)
        return Play(list(wire), "hold" if capture.leaves_closing_to_client else "orderly", framed=False)

    return play


def _fragmented(data: bytes) -> list[bytes]:
    """In three, an empty one among them, cut wherever it falls: also inside a character."""
    half = len(data) // 2 + 1
    return [
        message(data[:half], fin=False),
        message(b"", Opcode.CONT, fin=False),
        message(data[half:], Opcode.CONT),
    ]


def _with_pings(data: bytes) -> list[bytes]:
    """Around it, and between its parts."""
    first, empty, last = _fragmented(data)
    return [message(b"", Opcode.PING), first, message(b"are you there?", Opcode.PING), empty, last,
            message(b"", Opcode.PONG)]  # fmt: skip


SSE: tuple[Framing, ...] = ("sse",)
LINES: tuple[Framing, ...] = ("ndjson",)
HTTP: tuple[Framing, ...] = ("sse", "ndjson")
FRAMES: tuple[Framing, ...] = ("frames",)
ALL: tuple[Framing, ...] = ("sse", "ndjson", "frames")

QUIRKS = {
    "no blank after colons": Quirk(SSE, _each(lambda frame: _FIELD.sub(rb"\1:", frame))),
    "lines that end with CRLF": Quirk(HTTP, _each(_crlf)),
    "lines that end with CRLF, byte by byte": Quirk(HTTP, _by_bytes(_crlf)),
    "lines that end with CR": Quirk(SSE, _each(_cr)),
    "lines that end with CR, byte by byte": Quirk(SSE, _by_bytes(_cr)),
    "comments": Quirk(SSE, _between(b": keep-alive\n\n", b":\n", b":HTTP_STATUS/200\n\n:\n\n")),
    "pings without data": Quirk(SSE, _between(b"event: ping\n\n", b"event:ping\n\n")),
    "blank lines": Quirk(HTTP, _between(b"\n", b"\n\n\n", b"\r\n")),
    "ids and retry fields": Quirk(SSE, _http(_numbered)),
    "unknown fields of an event": Quirk(SSE, _each(lambda frame: b"x-cache: HIT\ndata-x: {\nfoo\n" + frame)),
    "a byte order mark": Quirk(SSE, _http(lambda capture: [b"\xef\xbb\xbf", *capture.frames])),
    "no line end at the end": Quirk(HTTP, _http(_without_end)),
    "unknown fields": Quirk(ALL, _of_json(_with_unknown_fields)),
    "unknown events": Quirk(ALL, _unknown_frames),
    "JSON with blanks and escapes": Quirk(ALL, _of_json(lambda value: value)),
    "halves of characters": Quirk(ALL, _half_characters),
    "a line of megabytes": Quirk(ALL, _one_line_of_megabytes),
    "fragmented messages": Quirk(FRAMES, _raw(_fragmented)),
    "pings and pongs": Quirk(FRAMES, _raw(_with_pings)),
}
