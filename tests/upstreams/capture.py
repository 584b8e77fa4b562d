"""Captured streams: what an upstream was seen to send, beside what was asked and what is to be made of it.

Each `tests/fixtures/upstream/*.toml` is one; `Capture` has its fields. A new upstream brings its own, and every suite
that plays captures finds it by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from chat.errors import Cause, ErrorCode
from chat.events import FinishReason
from chat.providers.base import ChatRequest, Params, Picture, Turn
from chat.providers.providers_file import declarations_of
from chat.providers.registry import Registry
from tests.upstreams.rig import TIMEOUTS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures/upstream"

SECRETS = {
    "UPSTREAM_KEY": "key-of-the-capture",
    "UPSTREAM_SECRET": "secret-of-the-capture",
    "UPSTREAM_APP": "app-of-the-capture",
}
"""The environment that a fixture's provider reads its keys from."""

PICTURE = Picture("image/png", b"\x89PNG-of-the-tests")
QUESTION = (Turn("system", "Be brief."), Turn("user", "One?"), Turn("assistant", "Yes."), Turn("user", "Two?"))
PARAMS = Params(temperature=0.5, top_p=0.9, max_tokens=64)
USER = "u1"
"""What every capture answers."""

Framing = Literal["sse", "ndjson", "frames"]
_BLOCK = re.compile(rb".*?\n\n+|.+\Z", re.DOTALL)


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of a fixture; what is misspelt in it is refused."""


class Asked(_Part):
    """What must have been sent, at least. `json`: objects by inclusion; arrays of equal length, their items by
    inclusion; of a form, an object of its fields."""

    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    json: str = "{}"


class Route(_Part):
    """Another request that comes first, and its answer."""

    path: str
    json: str
    status: int = 200


class Reply(_Part):
    text: str
    reasoning: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish: FinishReason = FinishReason.STOP


class Stream(_Part):
    """`capture`: the body, or for `frames` one message a line. So many frames as `optional_tail` says may be missing at
    its end. `early_ends`: behind so many frames, an orderly end is taken for one that came too early, of a whole text
    that can be continued. `try_later`: frames of the upstream's own error in mid-reply. `unknown`: a frame of the
    future that says nothing to us. `ends_by_closing`: an orderly close is the end mark. `not_quirks`: of
    tests/upstreams/quirks.py, what this upstream's protocol rules out."""

    framing: Framing
    capture: str
    content_type: str = "text/event-stream"
    optional_tail: int = 0
    early_ends: Sequence[int] = ()
    try_later: str = ""
    try_later_code: ErrorCode = ErrorCode.UPSTREAM_UNAVAILABLE
    unknown: str = ""
    ends_by_closing: bool = False
    not_quirks: Sequence[str] = ()


class Refusal(_Part):
    """An answer in place of a stream, and the error that it is. `tries`: requests until the adapter gives up."""

    status: int
    body: str
    code: ErrorCode
    again: bool
    headers: Mapping[str, str] = {}
    cause: Cause | None = None
    retry_after: float | None = None
    tries: int = 1


class Instead(_Part):
    """A body with status 200, or a single message, in place of a stream; or a stream that fails before it says
    anything."""

    body: str
    code: ErrorCode
    again: bool
    cause: Cause | None = None
    tries: int = 1


class Pictures(_Part):
    """What is sent with a picture in the last question, at least."""

    json: str


class Capture(_Part):
    """`source`: what it was recorded from, or after which documents it was constructed. `provider`: its table, keys as
    "env:…" of `SECRETS`; address and models are filled in. `base_path`: where its base_url ends; `request.path` is the
    whole path. `routes`: what is asked before. `pictures`: the model takes them; without it they must be refused."""

    source: str
    model: str
    provider: Mapping[str, Any]
    request: Asked
    reply: Reply
    stream: Stream
    base_path: str = ""
    routes: Sequence[Route] = ()
    refusals: Sequence[Refusal] = ()
    objects: Sequence[Instead] = ()
    pictures: Pictures | None = None

    @property
    def is_socket(self) -> bool:
        return self.stream.framing == "frames"

    @property
    def frames(self) -> list[bytes]:
        """What could come in a read of its own: blocks with their empty line, lines with their end, or messages."""
        return framed(self.stream.framing, self.stream.capture)

    @property
    def required(self) -> int:
        """So many frames make a complete reply."""
        return len(self.frames) - self.stream.optional_tail

    @property
    def leaves_closing_to_client(self) -> bool:
        """Behind its end mark, the upstream keeps the connection."""
        return self.is_socket and not self.stream.ends_by_closing

    def registry(self, url: str) -> Registry:
        """With the provider `main`, which speaks to `url`."""
        model = {"id": self.model, "vision": self.pictures is not None}
        table = {**self.provider, "base_url": url, "models": [model], "timeout": TIMEOUTS, "retries": 0}
        return Registry(declarations_of({"providers": {"main": table}}, "the capture"), SECRETS)

    def question(self, *pictures: Picture) -> ChatRequest:
        *before, last = QUESTION
        return ChatRequest(self.model, (*before, Turn(last.role, last.text, pictures)), PARAMS, USER)


def framed(framing: Framing, text: str) -> list[bytes]:
    data = text.encode()
    if framing == "sse":
        return _BLOCK.findall(data)
    lines = data.splitlines(keepends=framing == "ndjson")
    return [line for line in lines if line.strip()]


def load(path: Path) -> Capture:
    """Raises ValueError for a fixture that cannot be meant."""
    capture = msgspec.toml.decode(path.read_bytes(), type=Capture)
    for texts in (capture.request.json, *(route.json for route in capture.routes)):
        json.loads(texts)
    if capture.pictures is not None:
        json.loads(capture.pictures.json)
    if capture.stream.capture.isascii():
        raise ValueError(f"{path.name}: no character of several bytes, so none can be cut")
    if "\r" in capture.stream.capture:
        raise ValueError(f"{path.name}: lines end with LF; the other ends are tried as quirks")
    if not 2 <= capture.required <= len(capture.frames):
        raise ValueError(f"{path.name}: optional_tail leaves no reply")
    return capture


def paths() -> list[Path]:
    return sorted(FIXTURES.glob("*.toml"))


def _captures() -> dict[str, Capture]:
    """A fixture that cannot be read fails a test of its own, and leaves the others theirs."""
    found = {}
    for path in paths():
        try:
            found[path.stem] = load(path)
        except ValueError:
            continue
    return found


CAPTURES = _captures()


def missing(wanted: Any, sent: Any, where: str = "") -> str | None:
    """What of `wanted` is not in what was sent, in words; None where all is."""
    if isinstance(wanted, dict) and isinstance(sent, dict):
        for key, value in wanted.items():
            if key not in sent:
                return f"{where}.{key} was not sent"
            if (words := missing(value, sent[key], f"{where}.{key}")) is not None:
                return words
        return None
    if isinstance(wanted, list) and isinstance(sent, list):
        if len(wanted) != len(sent):
            return f"{where}: {len(wanted)} items are wanted, {len(sent)} were sent"
        each = (missing(one, other, f"{where}[{at}]") for at, (one, other) in enumerate(zip(wanted, sent, strict=True)))
        return next((words for words in each if words is not None), None)
    return None if wanted == sent else f"{where}: {wanted!r} is wanted, {sent!r} was sent"
