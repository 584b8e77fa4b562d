"""Nudges: "something changed in conversation X", to the user's other open tabs, at most once, never the tokens.

The first goes out at once. Those that follow within the window are gathered, one a conversation and action; and the
window widens with the user's sockets, so that many sockets and many changes at once do not cost their product.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from typing import Any, Literal

from channels.layers import get_channel_layer

from chat.services.owned_tasks import OwnedTasks

logger = logging.getLogger(__name__)

Action = Literal["created", "updated", "deleted", "message"]

WINDOW_SECONDS = 0.5
WINDOW_SECONDS_PER_SOCKET = 0.01
"""The wider of the two counts: up to fifty sockets of one user on this worker see a change within half a second."""

GATHERED = 16
"""Nudges of one user in one window; the oldest go first. Who misses one sees the change at the next look."""


def _group(user: uuid.UUID) -> str:
    return f"user.{user.hex}"


def _layer() -> Any:
    layer = get_channel_layer()
    assert layer is not None, "settings name one"
    return layer


class Nudges:
    def __init__(self, tasks: OwnedTasks) -> None:
        self._tasks = tasks
        self._gathered: dict[uuid.UUID, dict[tuple[str, Action], dict[str, Any]]] = {}
        self._sockets: Counter[uuid.UUID] = Counter()

    async def join(self, user: uuid.UUID, channel: str) -> None:
        """From now on this channel gets the user's nudges, as messages of the type `conversations.changed`."""
        self._sockets[user] += 1
        await _layer().group_add(_group(user), channel)

    async def leave(self, user: uuid.UUID, channel: str) -> None:
        self._sockets[user] -= 1
        if not self._sockets[user]:
            del self._sockets[user]
        await _layer().group_discard(_group(user), channel)

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
        seconds = max(WINDOW_SECONDS, self._sockets[user] * WINDOW_SECONDS_PER_SOCKET)
        asyncio.get_running_loop().call_later(seconds, self._close_window, user)

    def _close_window(self, user: uuid.UUID) -> None:
        gathered = self._gathered.pop(user)
        if gathered:
            self._open_window(user)
            self._tasks.start(self._send(user, list(gathered.values())))

    async def _send(self, user: uuid.UUID, nudges: list[dict[str, Any]]) -> None:
        try:
            await _layer().group_send(_group(user), {"type": "conversations.changed", "nudges": nudges})
        except Exception:
            logger.warning("a nudge was not sent", exc_info=True)
