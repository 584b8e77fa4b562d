"""The log that the settings ask for: in memory, or shared through Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings

from chat.engine.clock import Clock
from chat.engine.log import EventLog
from chat.engine.memory_log import MemoryLog
from chat.redis import address


def configured_log(clock: Clock, may_speak: Callable[[], bool]) -> EventLog:
    bounds: dict[str, Any] = {
        "stream_bytes": settings.CHAT_LOG_BYTES,
        "total_bytes": settings.CHAT_LOG_TOTAL_BYTES,
        "keep_seconds": settings.CHAT_LOG_SECONDS,
    }
    if not settings.REDIS_URL:
        return MemoryLog(**bounds)
    from chat.engine.redis_log import RedisLog  # noqa: PLC0415 (without Redis, its client is not even loaded)

    return RedisLog(
        address.parse(settings.REDIS_URL),
        prefix=settings.CHAT_REDIS_PREFIX,
        interval=lambda: clock.interval,
        may_speak=may_speak,
        **bounds,
    )
