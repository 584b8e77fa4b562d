"""What one stream has brought: every token once and in order, how late each was, and the whole text at the end."""

from __future__ import annotations

import time
from typing import Any

import msgspec


class _Event(msgspec.Struct, gc=False):
    """An event's data, or a frame; what it does not have stays at its default."""

    delta: str = ""
    content: str = ""
    isFinal: bool = False
    text: str | None = None
    type: str = ""
    error: Any = None


DONE = b"[DONE]"
_decode = msgspec.json.Decoder(_Event).decode


class Receipt:
    """Fed with the data of each event. `problem` stays None on a stream without fault. Without `repeats`, the last
    event is `[DONE]`, and an event's text is its `content`: the Go relay's way."""

    def __init__(self, tokens: int, opened: float, *, repeats: bool = True) -> None:
        self._tokens = tokens
        self._repeats = repeats
        self._opened = opened
        self._pieces: list[str] = []
        self._last = 0
        self.count = 0
        self.events = 0
        self.final = False
        self.problem: str | None = None
        self.first_token_ms: float | None = None
        self.delays_ms: list[float] = []

    def take(self, data: bytes | str) -> None:
        if not self._repeats and data == DONE:
            self._end(None)
            return
        event = _decode(data)
        if event.error is not None:
            self.fail(f"the server says {event.error!r}")
        elif event.isFinal:
            self._end(event.text)
        elif text := event.delta or event.content:
            self._text(text)

    def fail(self, problem: str) -> None:
        """Only the first problem is kept: the others follow from it."""
        if self.problem is None:
            self.problem = problem

    def closed(self) -> None:
        """The stream has ended, properly as far as the transport goes."""
        if not self.final:
            self.fail("it ended without its last event")
        elif self.count != self._tokens:
            self.fail(f"{self.count} of {self._tokens} tokens")

    def _text(self, delta: str) -> None:
        now = time.time() * 1e6
        if self.first_token_ms is None:
            self.first_token_ms = (time.monotonic() - self._opened) * 1000
        if self.final:
            self.fail("text after the last event")
        self.events += 1
        self._pieces.append(delta)
        for token in delta.split():
            stamp = int(token[1:])
            if stamp <= self._last:
                self.fail("a token came twice or out of order")
            self._last = stamp
            self.delays_ms.append((now - stamp) / 1000)
        self.count = len(self.delays_ms)

    def _end(self, text: str | None) -> None:
        if self.final:
            self.fail("it ended twice")
        self.final = True
        if self._repeats and text != "".join(self._pieces):
            self.fail("the whole text at the end is not what had come")
