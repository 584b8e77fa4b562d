"""What a client of OpenAI's Responses API asks for.

Source: the OpenAI API reference, "Create a model response". What this server cannot do, and what would change the
answer, is refused; what would not is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from django.conf import settings
from django.utils.translation import gettext as _

from chat.dialects.openai_errors import Refused
from chat.dialects.openai_parameters import flag, is_one_of, unknown
from chat.dialects.response_body import (
    AS_IT_IS,
    LEFT_OUT,
    METADATA_NAME_CHARS,
    METADATA_PAIRS,
    METADATA_VALUE_CHARS,
    NOT_INCLUDED,
    ResponseRequestBody,
)
from chat.errors import InvalidRequest
from chat.models.conversation import SYSTEM_CHARS
from chat.models.generation import KEY_CHARS
from chat.providers.base import Params, Turn
from chat.services.requests import check_text, parse_params

_TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Where each kind of part has its text."""

_HEEDED = frozenset(ResponseRequestBody.model_fields)


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """`message`: what is to be answered; `history`: what was said before; `told`: what the input has of the system or
    the developer; `system`: the instructions, and that."""

    model: str
    message: str
    history: tuple[Turn, ...]
    system: str | None
    instructions: str | None
    told: str
    previous_response_id: str | None
    stream: bool
    background: bool
    store: bool
    params: Params
    metadata: dict[str, str]


def parse(body: Mapping[str, Any]) -> ResponseRequest:
    """Raises InvalidRequest, TooLarge."""
    _check_names(body)
    _check_option(body, "text", "format", {"type": "text"})
    _check_option(body, "text", "verbosity", "medium")
    _check_option(body, "reasoning", "effort", None)
    instructions = _optional_text(body, "instructions", SYSTEM_CHARS)
    said, told = _input(body.get("input"))
    system = "\n\n".join(part for part in (instructions, told) if part)
    previous = _optional_text(body, "previous_response_id", KEY_CHARS)
    if previous is not None:
        said = [_joined(said)]
    request = ResponseRequest(
        model=_model(body.get("model")),
        message=said[-1].text,
        history=tuple(said[:-1]),
        system=check_text(system, "instructions", SYSTEM_CHARS) or None,
        instructions=instructions,
        told=told,
        previous_response_id=previous,
        stream=flag(body, "stream", default=False),
        background=flag(body, "background", default=False),
        store=flag(body, "store", default=True),
        params=_params(body),
        metadata=_metadata(body.get("metadata")),
    )
    if request.background and not request.store:
        raise Refused(_("A response in the background must be stored."), "background", "invalid_value")
    return request


def _model(value: Any) -> str:
    if value is None:
        raise _missing("model")
    return check_text(value, "model", KEY_CHARS)


def _input(value: Any) -> tuple[list[Turn], str]:
    """The turns, the last of which is the user's; and what was said as the system or the developer."""
    if value is None:
        raise _missing("input")
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise Refused(_("This must be a text or a list of messages."), "input", "invalid_type")
    if settings.CHAT_HISTORY_MESSAGES is not None and len(value) > settings.CHAT_HISTORY_MESSAGES:
        raise Refused(
            _("A request holds %(most)d messages at most.") % {"most": settings.CHAT_HISTORY_MESSAGES}, "input"
        )
    said: list[Turn] = []
    told: list[str] = []
    for at, item in enumerate(value):
        role, text = _item(item, f"input[{at}]")
        if role in ("system", "developer"):
            told.append(text)
        elif role in ("user", "assistant"):
            said.append(Turn(cast(Literal["user", "assistant"], role), text))
    said = [turn for turn in said if turn.text.strip()]
    if not said:
        raise Refused(_("Please write a message."), "input", "invalid_value")
    if said[-1].role != "user":
        raise Refused(_("The last message must be the user's."), "input", "invalid_value")
    return said, "\n\n".join(told)


def _joined(said: Sequence[Turn]) -> Turn:
    """Behind a response, one message."""
    if any(turn.role == "assistant" for turn in said):
        raise Refused(_("Behind a previous response, only the user's messages can follow."), "input", "invalid_value")
    return Turn("user", "\n\n".join(turn.text for turn in said))


def _item(item: Any, where: str) -> tuple[str, str]:
    """Role and text; of what a model has thought, neither: it is not handed back."""
    if not isinstance(item, dict):
        raise Refused(_("This must be an object."), where, "invalid_type")
    kind = item.get("type")
    if kind == "reasoning":
        return "", ""
    if kind not in (None, "message"):
        raise _unsupported(where)
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise Refused(_("There is no such role."), f"{where}.role", "invalid_value")
    most = settings.CHAT_REPLY_CHARS if role == "assistant" else settings.CHAT_MESSAGE_CHARS
    return role, check_text(_content(item.get("content"), f"{where}.content"), f"{where}.content", most)


def _content(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused(_("This must be a text or a list of parts."), where, "invalid_type")
    return "".join(_part_texts(content, where))


def _part_texts(parts: Sequence[Any], where: str) -> list[str]:
    texts = []
    for at, part in enumerate(parts):
        here = f"{where}[{at}]"
        if not isinstance(part, dict):
            raise Refused(_("This must be an object."), here, "invalid_type")
        name = _TEXT_PARTS.get(str(part.get("type")))
        if name is None:
            raise _unsupported(here)
        texts.append(check_text(part.get(name), f"{here}.{name}", None))
    return texts


def _check_names(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if value is None or name in _HEEDED or name in LEFT_OUT:
            continue
        if name == "include":
            if not isinstance(value, list) or NOT_INCLUDED in value:
                raise _unsupported(name)
        elif name not in AS_IT_IS:
            raise unknown(name)
        elif not is_one_of(value, AS_IT_IS[name]):
            raise _unsupported(name)


def _check_option(body: Mapping[str, Any], name: str, option: str, good: Any) -> None:
    """What is asked for within a parameter must be what is done anyway."""
    options = body.get(name)
    if options is None:
        return
    if not isinstance(options, dict):
        raise Refused(_("This must be an object."), name, "invalid_type")
    if options.get(option) not in (None, good):
        raise _unsupported(f"{name}.{option}")


def _params(body: Mapping[str, Any]) -> Params:
    given = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}
    try:
        return parse_params({ours: body[theirs] for ours, theirs in given.items() if body.get(theirs) is not None})
    except InvalidRequest as error:
        ours = str(error.details.get("field")).removeprefix("params.")
        raise Refused(error.message, given.get(ours, ours), "invalid_value") from None


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > METADATA_PAIRS:
        words = _("This must be an object with %(most)d texts at most.") % {"most": METADATA_PAIRS}
        raise Refused(words, "metadata", "invalid_value")
    return {
        check_text(name, "metadata", METADATA_NAME_CHARS): check_text(text, "metadata", METADATA_VALUE_CHARS)
        for name, text in value.items()
    }


def _optional_text(body: Mapping[str, Any], name: str, limit: int) -> str | None:
    value = body.get(name)
    return None if value is None or value == "" else check_text(value, name, limit)


def _missing(name: str) -> Refused:
    return Refused(_("This is missing."), name, "missing_required_parameter")


def _unsupported(name: str) -> Refused:
    words = _("This server does not support %(name)s as it is asked for here.") % {"name": name}
    return Refused(words, name, "unsupported_parameter")
