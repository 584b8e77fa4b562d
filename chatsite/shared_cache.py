"""Django's cache for several workers: in Redis, so that the sign-in page's limits are one for all of them.

While Redis is away, or slow, this process's memory stands in for it: a page waits for TIMEOUT_SECONDS at most, and the
next ones not at all for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 2.0
"""After a failure Redis is not asked for so long."""

T = TypeVar("T")


class SharedCache(BaseCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._redis = _InRedis(server, params)
        self._redis.server = server
        self._memory = LocMemCache("while-redis-is-away", params)
        self._state = _state(server)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._either(lambda one: bool(one.add(key, value, timeout, version)))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._either(lambda one: one.get(key, default, version))

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._either(lambda one: one.set(key, value, timeout, version))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._either(lambda one: bool(one.touch(key, timeout, version)))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._either(lambda one: bool(one.delete(key, version)))

    def clear(self) -> None:
        """Of this process alone: Redis has more than this cache, and its entries go by themselves."""
        self._memory.clear()

    def _either(self, call: Callable[[BaseCache], T]) -> T:
        state = self._state
        if time.monotonic() >= state.asked_again_at:
            try:
                result = call(self._redis)
            except RedisError as error:
                state.missed(error)
            else:
                state.found()
                return result
        return call(self._memory)


class _InRedis(RedisCache):
    server = ""

    @cached_property
    def _cache(self) -> RedisCacheClient:
        return _client(self.server)


@cache
def _client(url: str) -> RedisCacheClient:
    """One for all threads: Django makes a cache for each request."""
    patience: dict[str, Any] = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    return RedisCacheClient([url], **patience, retry=Retry(NoBackoff(), 0))


class _State:
    def __init__(self) -> None:
        self.asked_again_at = 0.0
        self._is_missed = False

    def missed(self, error: RedisError) -> None:
        self.asked_again_at = time.monotonic() + PAUSE_SECONDS
        if not self._is_missed:
            self._is_missed = True
            logger.warning("cache: in memory, Redis is away: %s", type(error).__name__)

    def found(self) -> None:
        if self._is_missed:
            self._is_missed = False
            logger.warning("cache: in Redis again")


@cache
def _state(url: str) -> _State:
    return _State()
