"""What a client may say on the socket: a JSON object a frame, told apart by its `type`.

A field that no command has is let pass: a newer client may send it. What a send's fields may be, the services say,
with the same words for every transport; here they have their shapes for the description alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from msgspec import UNSET, Meta

from chat.errors import InvalidRequest
from chat.services.scopes import Scope

_Text = Annotated[Any, Meta(extra_json_schema={"type": ["string", "null"]})]
_Texts = Annotated[Any, Meta(extra_json_schema={"type": ["array", "null"], "items": {"type": "string"}})]
_Params = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "type": ["object", "null"],
            "properties": {
                "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
                "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                "max_tokens": {"type": ["integer", "null"], "minimum": 1},
                "system": {"type": ["string", "null"]},
            },
            "additionalProperties": False,
        }
    ),
]


class Command(msgspec.Struct, tag_field="type", kw_only=True):
    """`ref`: any JSON value of the client's, which the answer repeats."""

    scope: ClassVar[Scope | None] = Scope.CHAT
    """What an API key needs for it; None where any may."""

    ref: Any = None


class Send(Command, tag="send"):
    """A message to the AI; answered by `accepted` and then the reply's events. `text` may stand for `message`, and a
    frame with a `text` needs no `type`."""

    message: _Text = UNSET
    text: _Text = UNSET
    conversation: _Text = UNSET
    parent: _Text = UNSET
    provider: _Text = UNSET
    model: _Text = UNSET
    images: _Texts = UNSET
    params: _Params = UNSET
    workflow: _Text = UNSET
    key: _Text = UNSET

    def fields(self) -> dict[str, Any]:
        """Those that the client sent."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class Follow(Command, tag="follow"):
    """The events of a generation behind the cursor `after`, and those to come."""

    scope: ClassVar[Scope | None] = Scope.READ

    generation: str
    after: Annotated[int, Meta(ge=0)] = 0


class Unfollow(Command, tag="unfollow"):
    """No more of its events on this socket; the generation goes on."""

    scope: ClassVar[Scope | None] = None

    generation: str


class Stop(Command, tag="stop"):
    """Ends the generation; what was said is kept. One that has ended already stays as it is."""

    generation: str


class Pause(Command, tag="pause"):
    """Holds the generation, for a while at most."""

    generation: str


class Resume(Command, tag="resume"):
    """Lets a paused generation go on."""

    generation: str


class Ping(Command, tag="ping"):
    """Is answered by `pong`."""

    scope: ClassVar[Scope | None] = None


COMMANDS: Mapping[str, type[Command]] = {
    "send": Send,
    "follow": Follow,
    "unfollow": Unfollow,
    "stop": Stop,
    "pause": Pause,
    "resume": Resume,
    "ping": Ping,
}

_WORDS = {
    "generation": gettext_noop("Name the generation."),
    "after": gettext_noop("The cursor is a whole number, 0 or more."),
}
_FIELD = re.compile(r"`\$\.(\w+)|field `(\w+)`")
"""Of msgspec's words: what is wrong where, and what is missing."""


def kind_of(frame: Mapping[str, Any]) -> Any:
    """The `type`, as the client has it."""
    return frame.get("type", "send" if "text" in frame else None)


def parse(frame: Mapping[str, Any]) -> Command:
    """Raises InvalidRequest; its details name the field."""
    kind = kind_of(frame)
    if kind == "image":
        raise InvalidRequest(_("This server does not take images."), status=422)
    command = COMMANDS.get(kind) if isinstance(kind, str) else None
    if command is None:
        raise InvalidRequest(_("There is no such command."), {"field": "type"})
    try:
        return msgspec.convert({**frame, "type": kind}, command)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None


def _refusal(words: str) -> InvalidRequest:
    match = _FIELD.search(words)
    field = (match[1] or match[2]) if match is not None else "type"
    return InvalidRequest(
        _(_WORDS.get(field, "The request has wrong or missing fields.")), {"field": field}, status=422
    )
