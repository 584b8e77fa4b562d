"""What the messages of an AI of one's own look like: the tables `request` and `reply` of its provider.

A *path* names a value by dots, a number in it counts a list's items: `choices.0.delta.text`; "" is for what there is
none of. Whatever cannot be meant raises ValueError when the file is read.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

Path = Annotated[
    str, msgspec.Meta(pattern=r"^([^.]+(\.[^.]+)*)?$", description='a path such as "choices.0.text", or "" for none')
]
Somewhere = Annotated[str, msgspec.Meta(pattern=r"^[^.]+(\.[^.]+)*$", description='a path such as "choices.0.text"')]
SystemPlace = Annotated[
    str,
    msgspec.Meta(pattern=r"^(message|first|field:[^.]+(\.[^.]+)*)$", description='"message", "first" or "field:PATH"'),
]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Scalar = str | int | float | bool
ErrorWord = Literal[
    "key", "quota", "rate_limited", "unavailable", "rejected", "filtered", "context", "model", "parameters", "pictures"
]

_INDEX = re.compile(r"-?[0-9]{1,9}")
_IN_A_FIELD = "field:"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tells messages by what stands at `field`: `value`, or one of a list; without one, anything but nothing: no null,
    false, 0 or empty text."""

    field: Somewhere
    value: Scalar | list[Scalar] | None = None

    def is_on(self, message: Any) -> bool:
        found = find(message, self.field)
        if self.value is None:
            return bool(found)
        values = self.value if isinstance(self.value, list) else [self.value]
        # To Python, 1 is True.
        return any(type(found) is type(value) and found == value for value in values)


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands at the path `at`, in the messages that are marked so."""

    at: Somewhere
    field: Somewhere
    value: Scalar | list[Scalar] | None = None


class RequestShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one message that is sent. `messages` and the four behind `system` are paths into it; `role`, `content` and
    `pictures` are names within one item of `messages`. `roles`: what they are called where that differs. `system`: as
    the first of the messages, before the first question in its text, or in a field of its own. `pictures` holds a list
    of Base64, or of data URLs; without a name, pictures are refused. `prefill`: an unfinished answer at the end is gone
    on with. `extra`: further fields, always the same."""

    messages: Somewhere = "messages"
    role: Name = "role"
    content: Name = "content"
    roles: dict[Literal["system", "user", "assistant"], str] = {}
    system: SystemPlace = "message"
    model: Path = "model"
    user: Path = "user"
    temperature: Path = "temperature"
    top_p: Path = "top_p"
    max_tokens: Path = "max_tokens"
    pictures: str = ""
    data_urls: bool = False
    prefill: bool = False
    extra: dict[str, Any] = {}

    def __post_init__(self) -> None:
        self.check()

    def check(self, further: Path = "") -> None:
        """Raises ValueError where paths are in each other's way; `further`: that of one more field."""
        body = copy.deepcopy(self.extra)
        for path in filter(None, (*self._paths(), further)):
            if find(body, path) is not None:
                raise ValueError(f"{path!r} would be set twice")
            put(body, path, "")

    @property
    def system_field(self) -> str:
        """The path, "" for none."""
        return self.system.removeprefix(_IN_A_FIELD) if self.system.startswith(_IN_A_FIELD) else ""

    def _paths(self) -> Sequence[Path]:
        sampling = (self.temperature, self.top_p, self.max_tokens)
        return (self.messages, self.model, self.user, *sampling, self.system_field)


class ReplyShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The messages that come. `delta`: a piece of the answer (by default at "delta"), or else `full`: the whole of it
    so far, each time. `reasoning`: a piece of the thinking. `end`: marks the last message, or is its words where that
    is no JSON; `close`: an orderly close of the connection ends a reply too. `error`: what is there only in a failure;
    `code`, and `retry_after` in seconds, stand beside it or in it; `errors` says what their codes mean: an ErrorWord is
    its own code. `finish`: why it ended; `finishes`: what else than `stop` these words mean. `keep_alive`: messages
    that say nothing, by a mark or by their words. What has none of all this says nothing either."""

    delta: Path | Place | None = None
    full: Path | Place = ""
    reasoning: Path | Place = "reasoning"
    end: str | Mark = Mark("type", "done")
    close: bool = False
    error: Path | Mark = "error"
    code: Path = "error.code"
    retry_after: Path = "error.retry_after"
    errors: dict[str, ErrorWord] = {}
    finish: Path = "finish_reason"
    finishes: dict[str, Literal["stop", "length", "content_filter"]] = {}
    input_tokens: Path = "usage.input_tokens"
    output_tokens: Path = "usage.output_tokens"
    keep_alive: list[str | Mark] = []

    def __post_init__(self) -> None:
        if self.full and self.delta:
            raise ValueError("either `delta` or `full` says where the text stands")
        if not self.end and not self.close:
            raise ValueError("nothing ends a reply: set `end`, or `close = true`")


def find(message: Any, path: str) -> Any:
    """What stands there; None for nothing."""
    found = message if path else None
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and _INDEX.fullmatch(name) and -len(found) <= int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def find_at(message: Any, where: str | Place) -> Any:
    """The same, where it may depend on a mark."""
    if isinstance(where, str):
        return find(message, where)
    return find(message, where.at) if Mark(where.field, where.value).is_on(message) else None


def put(body: dict[str, Any], path: str, value: object) -> None:
    """Raises ValueError where something else than an object is on the way."""
    *way, last = path.split(".")
    for name in way:
        body = body.setdefault(name, {})
        if not isinstance(body, dict):
            raise ValueError(f"{path!r} leads through {name!r}, which is no object")
    body[last] = value
