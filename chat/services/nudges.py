"""Nudges: "something changed in conversation X", to the user's other open tabs, at most once, never the tokens.

The first goes out at once. Those that follow within the window are gathered, one a conversation and action, so that a
user with many sockets who does many things at once does not cost their product.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any, Literal

from channels.layers import get_channel_layer

from chat.services.owned_tasks import OwnedTasks

logger = logging.getLogger(__name__)

Action = Literal["created", "updated", "deleted", "message"]

WINDOW_SECONDS = 0.5
GATHERED = 16
"""Nudges of one user in one window; the oldest go first. Who misses one sees the change at the next look."""


def group(user: uuid.UUID) -> str:
    return f"user.{user.hex}"


class Nudges:
    def __init__(self, tasks: OwnedTasks) -> None:
        self._tasks = tasks
        self._gathered: dict[uuid.UUID, dict[tuple[str, Action], dict[str, Any]]] = {}

    async def conversation_changed(
        self, user: uuid.UUID, action: Action, conversation: str, *, origin: str = "", **fields: Any
    ) -> None:
        """`origin` names the socket that asked for the change: it needs no nudge. Never fails."""
        nudge = {"action": action, "id": conversation, "origin": origin, **fields}
        gathered = self._gathered.get(user)
        if gathered is None:
            self._open_window(user)
            await self._send(user, [nudge])
            return
        gathered[conversation, action] = nudge
        if len(gathered) > GATHERED:
            del gathered[next(iter(gathered))]

    def _open_window(self, user: uuid.UUID) -> None:
        self._gathered[user] = {}
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._close_window, user)

    def _close_window(self, user: uuid.UUID) -> None:
        gathered = self._gathered.pop(user)
        if gathered:
            self._open_window(user)
            self._tasks.start(self._send(user, list(gathered.values())))

    async def _send(self, user: uuid.UUID, nudges: list[dict[str, Any]]) -> None:
        layer = get_channel_layer()
        if layer is None:
            return
        try:
            await layer.group_send(group(user), {"type": "conversations.changed", "nudges": nudges})
        except Exception:
            logger.warning("a nudge was not sent", exc_info=True)
