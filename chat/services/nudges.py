"""Nudges: "something changed in conversation X", to every open tab of its owner, at most once, never the tokens."""

from __future__ import annotations

import logging
import uuid
from typing import Any, Literal

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

Action = Literal["created", "updated", "deleted", "message"]


def group(user: uuid.UUID) -> str:
    return f"user.{user.hex}"


async def conversation_changed(user: uuid.UUID, action: Action, conversation: str, **fields: Any) -> None:
    """Never fails: who misses a nudge sees the change at the next look."""
    layer = get_channel_layer()
    if layer is None:
        return
    message = {"type": "conversation.changed", "action": action, "id": conversation, **fields}
    try:
        await layer.group_send(group(user), message)
    except Exception:
        logger.warning("a nudge was not sent", exc_info=True)
