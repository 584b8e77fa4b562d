"""When an upstream that has failed is asked again."""

from __future__ import annotations

from chat.errors import UpstreamError

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 8.0
"""Seconds before the first and any later further attempt; up to a quarter less by chance, so that many do not come at
once."""

RETRY_AFTER_MOST = 30.0
"""An upstream that asks for more patience than this has refused."""


def delay_before(attempt: int, error: UpstreamError, chance: float) -> float | None:
    """Seconds before the further attempt `attempt` (1, 2 …), or None when there should be none. `chance`: from 0 to 1,
    anew for each."""
    if not error.attempt_again:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= RETRY_AFTER_MOST else None
    delay = min(BACKOFF_FIRST * 2.0 ** (attempt - 1), BACKOFF_MOST)
    return delay * (1 - 0.25 * chance)
