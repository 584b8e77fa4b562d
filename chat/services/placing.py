"""Where a new message goes: what it answers, the author's own. Synchronous, for `Database.read`."""

from __future__ import annotations

import uuid

from chat.models import Conversation, Generation
from chat.services import access


def place(user: uuid.UUID, conversation_id: str | None, parent: str | None) -> tuple[Conversation, uuid.UUID | None]:
    """The conversation, and the message to answer in it, both the user's; a message alone finds its conversation.
    Raises NotFound."""
    if conversation_id is None:
        assert parent is not None, "one of the two is named"
        message = access.message(user, parent)
        return message.conversation, message.id
    conversation = access.conversation(user, conversation_id)
    if parent is None:
        return conversation, None
    return conversation, access.message_of(conversation, parent).id


def latest_generation(generation: uuid.UUID | None) -> Generation | None:
    return None if generation is None else Generation.objects.filter(id=generation).first()
