"""One function an object, scoped to its owner: what is not yours does not exist. Synchronous, for `Database.read`."""

from __future__ import annotations

import re
import uuid

from django.utils.translation import gettext as _

from chat.errors import NotFound
from chat.models import Conversation, Generation, Message

_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")


def parse_id(value: str | uuid.UUID) -> uuid.UUID:
    """Raises NotFound for what is no id: nothing has it."""
    if isinstance(value, uuid.UUID):
        return value
    # Stricter than Python's own reading, to which a line break or a digit of another script is a part of a number.
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise NotFound(_("There is nothing with this id."))
    return uuid.UUID(value)


def conversation(user: uuid.UUID, conversation_id: str | uuid.UUID, *, locked: bool = False) -> Conversation:
    """`locked`: until the end of the transaction, for `Database.write`."""
    rows = Conversation.objects.select_for_update() if locked else Conversation.objects
    try:
        return rows.get(id=parse_id(conversation_id), user_id=user)
    except Conversation.DoesNotExist:
        raise NotFound(_("This conversation does not exist.")) from None


def message(user: uuid.UUID, message_id: str | uuid.UUID, *, locked: bool = False) -> Message:
    """With its conversation. `locked`: the message alone, as above; it still may be referred to."""
    rows = Message.objects.select_for_update(of=("self",), no_key=True) if locked else Message.objects
    try:
        return rows.select_related("conversation").get(id=parse_id(message_id), conversation__user_id=user)
    except Message.DoesNotExist:
        raise NotFound(_("This message does not exist.")) from None


def generation(user: uuid.UUID, generation_id: str | uuid.UUID) -> Generation:
    """With its message."""
    try:
        return Generation.objects.select_related("message").get(id=parse_id(generation_id), user_id=user)
    except Generation.DoesNotExist:
        raise NotFound(_("This generation does not exist.")) from None


def generation_seq(user: uuid.UUID, generation_id: str | uuid.UUID) -> Generation:
    """The same, only to see how far it is: its status, its last event, and its trace."""
    try:
        return Generation.objects.only("id", "status", "seq", "traceparent").get(
            id=parse_id(generation_id), user_id=user
        )
    except Generation.DoesNotExist:
        raise NotFound(_("This generation does not exist.")) from None


def message_of(conversation: Conversation, message_id: str | uuid.UUID) -> Message:
    try:
        return Message.objects.get(id=parse_id(message_id), conversation=conversation)
    except Message.DoesNotExist:
        raise NotFound(_("This message does not exist in this conversation.")) from None
