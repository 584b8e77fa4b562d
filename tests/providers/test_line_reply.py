"""Replies of lines: how long one may be, and what half of one is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Text
from chat.providers.line_reply import LineReply
from chat.providers.sse_reply import MAX_LINE


class Lines(LineReply):
    """A protocol whose last word may be followed by others."""

    def read_line(self, line: bytes) -> None:
        said = json.loads(line)
        self.say(said)
        if said.endswith("."):
            self.finish(FinishReason.STOP)


def lines() -> tuple[Lines, list[ProviderEvent]]:
    events: list[ProviderEvent] = []

    def take(more: Sequence[ProviderEvent]) -> None:
        events.extend(more)

    return Lines("lines", take), events


def line_of(size: int) -> bytes:
    return b'"%b"' % (b"x" * (size - 2))


def test_a_line_may_be_as_long_as_the_limit() -> None:
    reply, events = lines()
    for chunk in (line_of(MAX_LINE), b"\n"):
        reply.read(chunk)
    assert events == [Text("x" * (MAX_LINE - 2))]


@pytest.mark.parametrize(
    "chunks",
    [[b"x" * MAX_LINE, b"x"], [line_of(MAX_LINE + 1) + b"\n"], [b'"' + b"x" * (MAX_LINE - 1), b'"\n"y"\n']],
    ids=["a line without end", "a whole line", "a line that ends"],
)
def test_a_longer_line_is_no_reply(chunks: list[bytes]) -> None:
    reply, events = lines()
    *before, last = chunks
    for chunk in before:
        reply.read(chunk)
    with pytest.raises(UpstreamError) as failure:
        reply.read(last)
    assert (failure.value.error_code, events) == (ErrorCode.UPSTREAM_PROTOCOL, [])


def test_half_a_line_behind_the_finish_means_nothing() -> None:
    reply, events = lines()
    reply.read(b'"Hi."\n" th')
    reply.end()
    assert events == [Text("Hi."), Finish(FinishReason.STOP)]


@pytest.mark.parametrize(
    ("last", "text"), [(b'"Hi."', "Hi."), (b'"Hi\\ud83d."', "Hi\ufffd.")], ids=["whole", "half a character"]
)
def test_a_last_line_needs_no_end(last: bytes, text: str) -> None:
    reply, events = lines()
    reply.read(b'"One "\n' + last)
    reply.end()
    assert events == [Text("One "), Text(text), Finish(FinishReason.STOP)]
