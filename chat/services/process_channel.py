"""This process's place in the groups of Channels: one channel, whoever wants to hear of how many groups.

Groups carry nudges and wake-ups: small, at most once, and nothing is lost without them but time. So a layer that is
away delays nobody here; it is joined again as soon as it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], None]

SEND_SECONDS = 2.0
"""A layer that takes longer is away."""

RETRY_SECONDS = 1.0
RENEW_SECONDS = 3600.0
"""Layers forget a member that has not said so for a day."""


def _layer() -> Any:
    layer = get_channel_layer()
    assert layer is not None, "settings name one"
    return layer


class ProcessChannel:
    """`open` in the event loop, `aclose` at the end. Each group has one handler, which must not wait."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._joined: set[str] = set()
        self._changed = asyncio.Event()
        self._joining = asyncio.Lock()
        self._channel: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.reachable = True
        """As far as the last attempt to use the layer tells."""

    def open(self) -> None:
        self._tasks = [
            asyncio.create_task(self._receive_forever(), name="process-channel"),
            asyncio.create_task(self._join_forever(), name="process-channel-groups"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._try(_layer().flush())

    async def join(self, group: str, handler: Handler) -> None:
        """From now on `handler` gets what is sent to the group; where the layer is away, from when it is back."""
        self._handlers[group] = handler
        await self._catch_up()

    async def leave(self, group: str) -> None:
        self._handlers.pop(group, None)
        await self._catch_up()

    async def _catch_up(self) -> None:
        if not await self._join_all():
            self._changed.set()

    async def send(self, group: str, message: dict[str, Any]) -> bool:
        """To all processes that have joined the group, this one too. False when the layer is away; never raises."""
        return await self._try(_layer().group_send(group, {"type": "group.message", "group": group, **message}))

    async def _try(self, work: Any) -> bool:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await work
        except Exception as error:
            if self.reachable:
                logger.warning("the channel layer is away: %s", type(error).__name__)
            self.reachable = False
            return False
        self.reachable = True
        return True

    async def _receive_forever(self) -> None:
        while True:
            try:
                if self._channel is None:
                    self._channel = await _layer().new_channel()
                    self._joined.clear()
                    self._changed.set()
                message = await _layer().receive(self._channel)
            except Exception as error:
                logger.warning("nothing comes from the channel layer: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            handler = self._handlers.get(message.get("group", ""))
            if handler is not None:
                try:
                    handler(message)
                except Exception:
                    logger.exception("a message of a group was not handled")

    async def _join_forever(self) -> None:
        while True:
            self._changed.clear()
            if self._channel is not None and not await self._join_all():
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                self._joined.clear()

    async def _join_all(self) -> bool:
        """Brings the layer up to what is wanted; False where it is away."""
        async with self._joining:
            for group in self._joined - self._handlers.keys():
                if not await self._try(_layer().group_discard(group, self._channel)):
                    return False
                self._joined.discard(group)
            for group in self._handlers.keys() - self._joined:
                if self._channel is None or not await self._try(_layer().group_add(group, self._channel)):
                    return False
                self._joined.add(group)
        return True
