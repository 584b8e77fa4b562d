"""Messages deleted some at a time, so that others' writes come between: a long history takes seconds in all.

Synchronous, for `Database.write`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from chat.models import Message

BATCH_MESSAGES = 200
"""Deleted by one write, which others wait for: some ten milliseconds."""


def delete_some(conversations: Sequence[uuid.UUID]) -> bool:
    """Of these conversations' messages; whether there may be more."""
    messages = Message.objects.filter(conversation_id__in=conversations)
    some = list(messages.values_list("id", flat=True)[:BATCH_MESSAGES])
    # Else whatever hangs on the first of them would go at once.
    Message.objects.filter(parent_id__in=some).update(parent=None)
    Message.objects.filter(id__in=some).delete()
    return len(some) == BATCH_MESSAGES
