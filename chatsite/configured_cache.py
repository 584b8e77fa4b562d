"""Django's cache: in memory, or with one Redis for all workers."""

from __future__ import annotations

from typing import Any

from chat.redis.address import parse


def cache_for(url: str, prefix: str) -> dict[str, Any]:
    """What CACHES has for this REDIS_URL. Behind Sentinels and in a Cluster each worker has a cache of its own."""
    try:
        address = parse(url) if url else None
    except ValueError:
        address = None  # which a check of the settings tells
    if address is None or address.kind != "single":
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    return {
        "BACKEND": "chatsite.shared_cache.SharedCache",
        "LOCATION": address.url_of(address.nodes[0]),
        "KEY_PREFIX": f"{prefix}:cache",
    }
