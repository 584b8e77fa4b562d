"""`RateLimit-*`: what is left of the limit that a request was counted against.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-03
"""

from __future__ import annotations

from chat.services.rates import counted


def rate_headers() -> dict[str, str]:
    """Of the request that is being served, once; empty where none was counted. `Reset` is in whole seconds: one more
    may come then, and where nothing remains it is what `Retry-After` says too."""
    count = counted.get()
    if count is None:
        return {}
    counted.set(None)  # one task may serve several requests
    return {
        "RateLimit-Limit": str(count.limit),
        "RateLimit-Remaining": str(count.remaining),
        "RateLimit-Reset": str(count.seconds),
    }
