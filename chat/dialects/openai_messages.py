"""The messages of a chat completion: the system prompt, the history, and the question at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _

from chat.dialects.openai_errors import Refused
from chat.models.conversation import SYSTEM_CHARS
from chat.providers.base import Turn
from chat.services.requests import check_text

Role = Literal["system", "user", "assistant"]

_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""By their types: where their text is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None lifts one. `messages` of one request; characters of a `question`, and of a `reply` among the history."""

    messages: int | None
    question: int | None
    reply: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    system: str
    history: tuple[Turn, ...]
    question: str


def parse_messages(value: Any, limits: Limits) -> Asked:
    """Raises RequestError. System prompts count wherever they stand; messages without a text say nothing."""
    if not isinstance(value, list) or not value:
        raise Refused(_("Send the messages, the user's last."), "messages")
    if limits.messages is not None and len(value) > limits.messages:
        words = _("There are too many messages: %(count)d of at most %(limit)d.")
        raise Refused(words % {"count": len(value), "limit": limits.messages}, "messages", "array_above_max_length")
    system: list[str] = []
    turns: list[Turn] = []
    for number, message in enumerate(value):
        where = f"messages[{number}]"
        role = _role(message, where)
        most = {"system": SYSTEM_CHARS, "user": limits.question, "assistant": limits.reply}[role]
        text = check_text(_text(message, where), f"{where}.content", most)
        if role == "system":
            system.append(text)
        elif text or number == len(value) - 1:
            turns.append(Turn(role, text))
    prompt = check_text("\n\n".join(text for text in system if text), "messages", SYSTEM_CHARS)
    if not turns or turns[-1].role != "user":
        raise Refused(_("The last message must be the user's."), "messages")
    question = turns.pop().text
    if not question.strip():
        raise Refused(_("Please write a message."), "messages")
    return Asked(prompt, tuple(turns), question)


def _role(message: Any, where: str) -> Role:
    if not isinstance(message, Mapping):
        raise Refused(_("This must be an object."), where)
    role = message.get("role")
    if message.get("tool_calls") not in (None, []) or message.get("function_call") is not None:
        raise Refused(_("This server does not take tool calls."), f"{where}.tool_calls", "unsupported_value")
    if role in ("tool", "function"):
        raise Refused(_("This server does not take tool calls."), f"{where}.role", "unsupported_value")
    known = _ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise Refused(_("The role is one of system, developer, user and assistant."), f"{where}.role", "invalid_value")
    return known


def _text(message: Mapping[str, Any], where: str) -> str:
    content = message.get("content")
    if message["role"] == "assistant" and (refusal := message.get("refusal")) is not None:
        refusal = check_text(refusal, f"{where}.refusal", None)
    else:
        refusal = ""
    if content is None and message["role"] == "assistant":
        content = refusal
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused(_("The content is a text, or a list of text parts."), f"{where}.content", "invalid_type")
    return "\n".join(_part(part, f"{where}.content[{number}]") for number, part in enumerate(content))


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("image_url", "input_image"):
        raise Refused(_("This server does not take images."), where, "unsupported_value")
    name = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if name is None:
        raise Refused(_("This server takes text parts alone."), where, "unsupported_value")
    return check_text(part.get(name), f"{where}.{name}", None)
