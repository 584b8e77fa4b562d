"""Nudges: "something changed in conversation X", to the user's other open tabs, at most once, never the tokens.

The first goes out at once. Those that follow within the window are gathered, one a conversation and action; and the
window widens with the user's sockets, so that many sockets and many changes at once do not cost their product.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, Literal

from chat.services.owned_tasks import OwnedTasks
from chat.services.process_channel import ProcessChannel

Action = Literal["created", "updated", "deleted", "message"]
Nudge = dict[str, Any]
Told = Callable[[list[Nudge]], None]

WINDOW_SECONDS = 0.5
WINDOW_SECONDS_PER_SOCKET = 0.01
"""The wider of the two counts: up to fifty sockets of one user on this worker see a change within half a second."""

GATHERED = 16
"""Nudges of one user in one window; the oldest go first. Who misses one sees the change at the next look."""


def _group(user: uuid.UUID) -> str:
    return f"user.{user.hex}"


class Nudges:
    def __init__(self, tasks: OwnedTasks, channel: ProcessChannel) -> None:
        self._tasks = tasks
        self._channel = channel
        self._gathered: dict[uuid.UUID, dict[tuple[str, Action], Nudge]] = {}
        self._sockets: dict[uuid.UUID, set[Told]] = {}

    def join(self, user: uuid.UUID, told: Told) -> None:
        """From about now on `told` gets the user's nudges; it must not wait."""
        sockets = self._sockets.setdefault(user, set())
        sockets.add(told)
        if len(sockets) == 1:
            self._channel.join(_group(user), lambda message: self._tell(user, message["nudges"]))

    def leave(self, user: uuid.UUID, told: Told) -> None:
        sockets = self._sockets.get(user, set())
        sockets.discard(told)
        if not sockets and self._sockets.pop(user, None) is not None:
            self._channel.leave(_group(user))

    def _tell(self, user: uuid.UUID, nudges: list[Nudge]) -> None:
        for told in self._sockets.get(user, set()):
            told(nudges)

    def conversation_changed(
        self, user: uuid.UUID, action: Action, conversation: str, *, origin: str = "", **fields: Any
    ) -> None:
        """`origin` names the socket that asked for it, which needs no nudge. Never fails, and waits for nothing."""
        nudge = {"action": action, "id": conversation, "origin": origin, **fields}
        gathered = self._gathered.get(user)
        if gathered is None:
            self._open_window(user)
            self._tasks.start(self._send(user, [nudge]))
            return
        gathered[conversation, action] = nudge
        if len(gathered) > GATHERED:
            del gathered[next(iter(gathered))]

    def _open_window(self, user: uuid.UUID) -> None:
        self._gathered[user] = {}
        seconds = max(WINDOW_SECONDS, len(self._sockets.get(user, ())) * WINDOW_SECONDS_PER_SOCKET)
        asyncio.get_running_loop().call_later(seconds, self._close_window, user)

    def _close_window(self, user: uuid.UUID) -> None:
        gathered = self._gathered.pop(user)
        if gathered:
            self._open_window(user)
            self._tasks.start(self._send(user, list(gathered.values())))

    async def _send(self, user: uuid.UUID, nudges: list[Nudge]) -> None:
        await self._channel.send(_group(user), {"nudges": nudges})
