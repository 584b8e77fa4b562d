"""This process's place in the groups of Channels: one channel, whoever wants to hear of how many groups.

Groups carry nudges and wake-ups: small, at most once, and nothing is lost without them but time. So a layer that is
away delays nobody here; it is joined again as soon as it is back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], None]

SEND_SECONDS = 2.0
"""A layer that takes longer is away."""

RETRY_SECONDS = 1.0

PULSE_SECONDS = 10.0
PULSES_MISSED = 3
"""A process sends itself a message once in a while. One that misses so many in a row begins anew: a connection can be
dead for hours without anybody being told."""


def _layer() -> Any:
    layer = get_channel_layer()
    assert layer is not None, "settings name one"
    return layer


class ProcessChannel:
    """`open` in the event loop, `aclose` at the end. Each group has one handler, which must not wait."""

    def __init__(self) -> None:
        name = secrets.token_hex(8)
        self._channel = f"specific.process!{name}"
        self._pulse = f"process.{name}"
        self._handlers: dict[str, Handler] = {self._pulse: self._feel}
        self._joined: set[str] = set()
        self._changed = asyncio.Event()
        self._missed = 0
        self._receiving: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._reachable = True

    def open(self) -> None:
        self._receiving = asyncio.create_task(self._receive_forever(), name="process-channel")
        self._tasks = [
            asyncio.create_task(self._join_forever(), name="process-channel-groups"),
            asyncio.create_task(self._pulse_forever(), name="process-channel-pulse"),
        ]

    async def aclose(self) -> None:
        await self._end([*self._tasks, *([self._receiving] if self._receiving is not None else [])])
        await self._try(_layer().flush())

    def join(self, group: str, handler: Handler) -> None:
        """From about now on `handler` gets what is sent to the group."""
        self._handlers[group] = handler
        self._changed.set()

    def leave(self, group: str) -> None:
        self._handlers.pop(group, None)
        self._changed.set()

    async def send(self, group: str, message: dict[str, Any]) -> bool:
        """To all processes that have joined the group, this one too. False when the layer is away; never raises."""
        return await self._try(_layer().group_send(group, {"type": "group.message", "group": group, **message}))

    async def _try(self, work: Awaitable[Any]) -> bool:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await work
        except Exception as error:
            self._complain(error)
            return False
        self._reachable = True
        return True

    def _complain(self, error: Exception) -> None:
        if self._reachable:
            logger.warning("the channel layer is away: %s", type(error).__name__)
        self._reachable = False

    async def _receive_forever(self) -> None:
        while True:
            try:
                message = await _layer().receive(self._channel)
            except Exception as error:
                self._complain(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            handler = self._handlers.get(message.get("group", ""))
            if handler is not None:
                try:
                    handler(message)
                except Exception:
                    logger.exception("a message of a group was not handled")

    async def _join_forever(self) -> None:
        await asyncio.sleep(0)  # the layer knows the channel once it is received from
        while True:
            self._changed.clear()
            if await self._join_all():
                await self._changed.wait()
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _join_all(self) -> bool:
        """Brings the layer up to what is wanted; False where it is away."""
        for group in self._joined - self._handlers.keys():
            if not await self._try(_layer().group_discard(group, self._channel)):
                return False
            self._joined.discard(group)
        for group in self._handlers.keys() - self._joined:
            if not await self._try(_layer().group_add(group, self._channel)):
                return False
            self._joined.add(group)
        return True

    # Whether anything arrives at all

    def _feel(self, message: dict[str, Any]) -> None:
        self._missed = 0

    async def _pulse_forever(self) -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            self._missed += 1
            if not await self.send(self._pulse, {}):
                self._missed = 0  # it is away for sending too, and its own affair to come back
            elif self._missed > PULSES_MISSED:
                logger.warning("nothing arrives from the channel layer: it is joined anew")
                await self._begin_anew()

    async def _begin_anew(self) -> None:
        self._missed = 0
        if self._receiving is not None:
            await self._end([self._receiving])
        await self._try(_layer().flush())
        self._receiving = asyncio.create_task(self._receive_forever(), name="process-channel")
        await asyncio.sleep(0)
        self._joined.clear()
        self._changed.set()

    @staticmethod
    async def _end(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
