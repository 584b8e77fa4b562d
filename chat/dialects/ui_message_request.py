"""What an AI SDK client asks for: the last of its messages, and where that stands among the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from chat.dialects.client_messages import Message, invalid, messages_of, text_in, text_of, told_before, turn_of, under
from chat.services.client_threads import Told, check_name
from chat.services.client_turns import Intent, Turn
from chat.services.requests import parse_send
from chat.services.sending import Send

FORMAT = "ui"

OF_A_SEND = ("provider", "model", "params", "images", "workflow", "key")
"""What may stand beside the SDK's own fields, as in a send."""


@dataclass(frozen=True, slots=True)
class UIChat:
    """`chat`: the name that the client gave it; `told`: what was said in it before."""

    chat: str
    turn: Turn
    send: Send
    told: Told


def parse_chat(body: Mapping[str, Any], header_key: str | None) -> UIChat:
    """Raises InvalidRequest, TooLarge. A client may leave out all of its history but the last message."""
    name = body.get("id")
    if not isinstance(name, str) or not name:
        raise invalid(_("This must be a text."), "id")
    check_name(name)
    messages = _messages(body)
    text = _text(messages[-1])
    turn = _turn(body, messages, text)
    fields = {field: body[field] for field in OF_A_SEND if field in body}
    systems = (_text(message) for message in messages if message.get("role") == "system")
    fields["params"] = under(body.get("params"), systems)
    key = header_key or (_key(name, turn, messages[-1]) if turn.intent is Intent.NEW else None)
    send = parse_send(fields | {"message": text}, message_chars=settings.CHAT_MESSAGE_CHARS, header_key=key)
    return UIChat(name, turn, send, told_before(messages, _says))


def _messages(body: Mapping[str, Any]) -> Sequence[Message]:
    if body.get("messages") is None and body.get("message") is not None:
        return messages_of([body["message"]])  # what the SDK's guide has a client send that saves bytes
    return messages_of(body.get("messages"))


def _text(message: Message) -> str:
    parts = message.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise invalid(_("This must be a list of parts."), "messages.parts")
    if any(part.get("type") == "file" for part in parts):
        raise invalid(_("This server does not take files. Send text alone."), "messages.parts")
    return text_of(parts, "messages.parts")


def _says(message: Message) -> str:
    parts = message.get("parts")
    return text_in(parts) if isinstance(parts, list) else ""


def _turn(body: Mapping[str, Any], messages: Sequence[Message], text: str) -> Turn:
    trigger, named, own = body.get("trigger", "submit-message"), body.get("messageId"), messages[-1].get("id")
    is_changed = own is not None and own == named
    intents = {
        "regenerate-message": Intent.AGAIN,
        "submit-message": Intent.CHANGED if is_changed else Intent.NEW,
    }
    if not isinstance(named, str | None):
        raise invalid(_("This must be a text."), "messageId")
    if not isinstance(trigger, str) or trigger not in intents:
        raise invalid(_("This is none of the triggers: submit-message, regenerate-message."), "trigger")
    return turn_of(intents[trigger], messages, text, (named, own))


def _key(name: str, turn: Turn, message: Message) -> str | None:
    """Of a new message: its own id, so that the same request sent twice is one. With its text and its place, since no
    client is bound to use an id once; and never of one that is changed or answered again, which keeps its id."""
    if not isinstance(message.get("id"), str) or not message["id"]:
        return None
    parts = (name, message["id"], turn.after or "", turn.text)
    # Lone surrogates are refused with the text itself.
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    return f"{FORMAT}:{digest.hexdigest()}"
