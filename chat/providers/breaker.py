"""A breaker: what keeps people from waiting for an upstream that has just failed everybody else."""

from __future__ import annotations

from chat.errors import ErrorCode

FAILURES = 10
"""Answers in a row that failed before their first token. A few unlucky ones are no outage; in an outage, ten come
within seconds."""

COOL_DOWN = 30.0
"""Seconds until one answer may try the upstream again."""

COUNTED = frozenset(
    {
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ErrorCode.UPSTREAM_TIMEOUT,
        ErrorCode.UPSTREAM_RATE_LIMITED,
        ErrorCode.UPSTREAM_AUTH,
    }
)
"""What speaks against the upstream; the others speak against the question."""


class Breaker:
    """One provider's. Times are the loop's, in seconds. It forbids nothing: whoever has another upstream to go to asks
    `allows` first."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_until = 0.0

    @property
    def open(self) -> bool:
        return self._failures >= FAILURES

    def allows(self, now: float) -> bool:
        """Also True for one answer after each cool-down, to see whether the upstream is back."""
        if not self.open:
            return True
        if now < self._closed_until:
            return False
        self._closed_until = now + COOL_DOWN
        return True

    def failed(self, code: ErrorCode, now: float) -> None:
        if code in COUNTED:
            self._failures += 1
            if self.open:
                self._closed_until = now + COOL_DOWN

    def answered(self) -> None:
        """A first token has come."""
        self._failures = 0
