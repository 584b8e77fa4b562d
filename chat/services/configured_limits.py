"""The limits that the settings ask for, counted in memory or, for all workers, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.conf import settings

from chat.redis import address
from chat.services.database import Database
from chat.services.limit_storage import LimitStorage
from chat.services.limits import LimitRates, Limits
from chat.services.memory_limits import MemoryLimits
from chat.services.stream_places import StreamPlaces
from chat.services.token_budget import TokenBudget


def configured_limits(
    database: Database, *, running: Callable[[], Iterable[str]], live_of: Callable[[str], int]
) -> Limits:
    """`running`: the ids of the replies of this process; `live_of`: how many of them are an account's."""
    storage, remembered = _storage(), settings.CHAT_LIMITS_REMEMBERED
    rates = LimitRates(
        send=settings.CHAT_SEND_RATE,
        key_send=settings.CHAT_KEY_SEND_RATE,
        address_send=settings.CHAT_ADDRESS_SEND_RATE,
        login=settings.CHAT_LOGIN_RATE,
        # Who lifts the one means attempts of any kind.
        account_login=settings.CHAT_ACCOUNT_LOGIN_RATE if settings.CHAT_LOGIN_RATE else None,
    )
    places = StreamPlaces(settings.CHAT_STREAMS_PER_USER, storage, running=running, live_of=live_of)
    budget = TokenBudget(settings.CHAT_TOKENS_PER_DAY, database, remembered)
    return Limits(rates, storage, places, budget, MemoryLimits(remembered))


def _storage() -> LimitStorage:
    memory = MemoryLimits(settings.CHAT_LIMITS_REMEMBERED)
    if not settings.REDIS_URL:
        return memory
    from chat.services.redis_limits import RedisLimits  # noqa: PLC0415 (without Redis, its client is not even loaded)

    return RedisLimits(address.parse(settings.REDIS_URL), settings.CHAT_REDIS_PREFIX, memory)
