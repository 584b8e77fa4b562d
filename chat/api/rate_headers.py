"""`RateLimit-*`: what is left of the limit that a request was counted against."""

from __future__ import annotations


def rate_headers() -> dict[str, str]:
    """Of the request that is being served; empty where none was counted."""
    return {}
