"""The messages of a client that keeps them itself and sends them along: its question, and what was said before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

from django.conf import settings
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest, RequestError
from chat.models.conversation import SYSTEM_CHARS
from chat.providers.base import Turn as Said
from chat.services.client_threads import Told
from chat.services.client_turns import Intent, Turn
from chat.services.requests import check_text

Message = Mapping[str, Any]

TALK = ("user", "assistant")
"""Roles of messages that stand in a conversation here; the others stand beside it, such as a system's."""


def messages_of(value: Any) -> Sequence[Message]:
    """Raises InvalidRequest."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise invalid(_("This must be a list of messages."), "messages")
    for name, types in (("role", str), ("id", str | None)):
        if not all(isinstance(one.get(name), types) for one in value):
            raise invalid(_("This must be a text."), f"messages.{name}")
    if value[-1]["role"] != "user":
        raise invalid(_("The last message must be the user's."), "messages")
    return value


def text_of(parts: Sequence[Message], where: str) -> str:
    """Of those that are texts. Raises InvalidRequest."""
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise invalid(_("This must be a text."), f"{where}.text")
    return _joined(texts)


def text_in(parts: Any) -> str:
    """The same of whatever stands there."""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return _joined(text for text in texts if isinstance(text, str))


def turn_of(intent: Intent, messages: Sequence[Message], text: str, ids: Iterable[Any]) -> Turn:
    """Of the last one, which says `text`. `ids`: by which it, or its answer, may be known here, if they are texts."""
    before = [message for message in messages[:-1] if message.get("role") in TALK]
    answer = before[-1].get("id") if before and before[-1].get("role") == "assistant" else None
    after = answer if isinstance(answer, str) else None
    return Turn(intent, text, tuple(id for id in ids if isinstance(id, str)), after, is_first=not before)


def told_before(messages: Sequence[Message], says: Callable[[Message], str]) -> Told:
    """Where the conversation is yet to be made, it begins with what was said before the last of them: the newest
    CHAT_HISTORY_MESSAGES. `says`: what one says in words, or nothing; of that too, what cannot be kept is left out,
    since a client cannot take it back."""

    def told() -> Sequence[Said]:
        most = {"user": settings.CHAT_MESSAGE_CHARS, "assistant": settings.CHAT_REPLY_CHARS}
        said = []
        for message in messages[:-1]:
            role = message.get("role")
            if role in TALK and (text := says(message)).strip() and _can_be_kept(text, most[role]):
                said.append(Said(cast(Literal["user", "assistant"], role), text))
        newest = settings.CHAT_HISTORY_MESSAGES
        return said if newest is None else said[max(0, len(said) - newest) :]

    return told


def under(params: Any, systems: Iterable[str]) -> Any:
    """The parameters of a send, with the client's system messages unless they have such a prompt themselves."""
    if params is not None and (not isinstance(params, Mapping) or params.get("system") is not None):
        return params
    system = _joined(filter(None, systems))
    return {**(params or {}), "system": check_text(system, "messages", SYSTEM_CHARS)} if system else params


def _can_be_kept(text: str, most: int | None) -> bool:
    try:
        check_text(text, "messages", most)
    except RequestError:
        return False
    return True


def _joined(texts: Iterable[Any]) -> str:
    return "\n\n".join(texts)


def invalid(words: str, name: str) -> InvalidRequest:
    return InvalidRequest(words, {"field": name}, status=422)
