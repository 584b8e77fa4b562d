"""One function an object, scoped to its owner: what is not yours does not exist. Synchronous, for `Database.read`."""

from __future__ import annotations

import uuid

from django.utils.translation import gettext as _

from chat.errors import NotFound
from chat.models import Conversation, Generation, Message


def parse_id(value: str | uuid.UUID) -> uuid.UUID:
    """Raises NotFound for what is no id: nothing has it."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        value.encode("ascii")  # digits of other scripts are numbers to Python, but no id of ours
        return uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise NotFound(_("There is nothing with this id.")) from None


def conversation(user: uuid.UUID, conversation_id: str | uuid.UUID, *, locked: bool = False) -> Conversation:
    """`locked`: until the end of the transaction, for `Database.write`."""
    rows = Conversation.objects.select_for_update() if locked else Conversation.objects
    try:
        return rows.get(id=parse_id(conversation_id), user_id=user)
    except Conversation.DoesNotExist:
        raise NotFound(_("This conversation does not exist.")) from None


def message(user: uuid.UUID, message_id: str | uuid.UUID) -> Message:
    try:
        return Message.objects.select_related("conversation").get(id=parse_id(message_id), conversation__user_id=user)
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
