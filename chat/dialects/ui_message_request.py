"""What an AI SDK client asks for: the last of its messages, and where that stands among the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest
from chat.services.client_threads import check_name
from chat.services.client_turns import Intent, Turn
from chat.services.requests import parse_send
from chat.services.sending import Send

FORMAT = "ui"

OF_A_SEND = ("provider", "model", "params", "images", "workflow", "key")
"""What may stand beside the SDK's own fields, as in a send."""


@dataclass(frozen=True, slots=True)
class UIChat:
    """`chat`: the name that the client gave it."""

    chat: str
    turn: Turn
    send: Send


def parse_chat(body: Mapping[str, Any], header_key: str | None) -> UIChat:
    """Raises InvalidRequest, TooLarge. A client may leave out all of its history but the last message."""
    name = body.get("id")
    if not isinstance(name, str) or not name:
        raise _invalid(_("This must be a text."), "id")
    check_name(name)
    messages = _messages(body)
    text = _text(messages[-1])
    turn = _turn(body, messages, text)
    fields = {field: body[field] for field in OF_A_SEND if field in body}
    fields["params"] = _params(body.get("params"), messages)
    key = header_key or (_key(name, turn, messages[-1]) if turn.intent is Intent.NEW else None)
    send = parse_send(fields | {"message": text}, message_chars=settings.CHAT_MESSAGE_CHARS, header_key=key)
    return UIChat(name, turn, send)


def _messages(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    messages = body.get("messages")
    if messages is None and body.get("message") is not None:  # what the SDK's guide has a client send that saves bytes
        messages = [body["message"]]
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise _invalid(_("This must be a list of messages."), "messages")
    if messages[-1].get("role") != "user":
        raise _invalid(_("The last message must be the user's."), "messages")
    return messages


def _text(message: Mapping[str, Any]) -> str:
    parts = message.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise _invalid(_("This must be a list of parts."), "messages.parts")
    if any(part.get("type") == "file" for part in parts):
        raise _invalid(_("This server does not take files. Send text alone."), "messages.parts")
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise _invalid(_("This must be a text."), "messages.parts.text")
    return "\n\n".join(str(text) for text in texts)


def _turn(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], text: str) -> Turn:
    trigger, named, own = body.get("trigger", "submit-message"), body.get("messageId"), messages[-1].get("id")
    ids = tuple(id for id in (named, own) if isinstance(id, str))
    is_changed = own is not None and own == named
    intents = {
        "regenerate-message": Intent.AGAIN,
        "submit-message": Intent.CHANGED if is_changed else Intent.NEW,
    }
    if not isinstance(trigger, str) or trigger not in intents:
        raise _invalid(_("This is none of the triggers: submit-message, regenerate-message."), "trigger")
    before = messages[:-1]
    answer = before[-1] if before and before[-1].get("role") == "assistant" else {}
    after = answer.get("id") if isinstance(answer.get("id"), str) else None
    return Turn(intents[trigger], text, ids, after, is_first=not before)


def _params(params: Any, messages: Sequence[Mapping[str, Any]]) -> Any:
    """With the client's system message, unless they have one themselves."""
    if params is not None and (not isinstance(params, Mapping) or params.get("system") is not None):
        return params
    system = next((_text(message) for message in messages if message.get("role") == "system"), None)
    return params if system is None else {**(params or {}), "system": system}


def _key(name: str, turn: Turn, message: Mapping[str, Any]) -> str | None:
    """Of a new message: its own id, so that the same request sent twice is one. With its text and its place, since no
    client is bound to use an id once; and never of one that is changed or answered again, which keeps its id."""
    if not isinstance(message.get("id"), str) or not message["id"]:
        return None
    parts = (name, message["id"], turn.after or "", turn.text)
    # Lone surrogates are refused with the text itself.
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    return f"{FORMAT}:{digest.hexdigest()}"


def _invalid(words: str, name: str) -> InvalidRequest:
    return InvalidRequest(words, {"field": name}, status=422)
