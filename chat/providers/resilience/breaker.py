"""A circuit breaker: what keeps people from waiting for an upstream that has just failed everybody else.

CLOSED ──failures in a row──> OPEN ──a probe is let in──> HALF_OPEN
   ^                           ^                              │
   └── a first token ──────────┼──────────────────────────────┤
                               └── it failed, or went away ───┘
"""

from __future__ import annotations

from enum import Enum

from chat.errors import ErrorCode

FAILURES = 10
"""Answers in a row that failed before their first token. A few unlucky ones are no outage; in an outage, ten come
within seconds."""

COOL_DOWN = 30.0
"""Seconds from a failure until one answer may try the upstream again, where there is another to go to."""

PROBE_PATIENCE = 60.0
"""Seconds for which a probe without a token keeps others out. It may well go on after that: an upstream takes its time
for a first token, and a person may pause the answer."""

COUNTED = frozenset(
    {
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ErrorCode.UPSTREAM_TIMEOUT,
        ErrorCode.UPSTREAM_RATE_LIMITED,
        ErrorCode.UPSTREAM_AUTH,
        ErrorCode.UPSTREAM_PROTOCOL,
    }
)
"""What speaks against the upstream; the others speak against the question."""


class BreakerState(Enum):
    """The values are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Passage:
    """One answer's way through a breaker. Whoever has it says how that went, then closes it: a probe that has learnt
    nothing gives way to the next."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def answered(self) -> None:
        """A first token has come."""
        self._breaker._answered()

    def failed(self, code: ErrorCode, now: float) -> None:
        """For good, before its first token."""
        if code in COUNTED:
            self._breaker._failed(self, code, now)

    def close(self) -> None:
        """Whatever has become of it. Idempotent."""
        self._breaker._closed(self)


class Breaker:
    """One model's of one provider. Times are the loop's, in seconds. `alone`: whoever asks has nobody else to go to."""

    def __init__(self) -> None:
        self._failures = 0
        self._open = False
        self._cool_from = 0.0
        self._probe: Passage | None = None
        self._probing_since = 0.0
        self.last_failure = ErrorCode.UPSTREAM_UNAVAILABLE
        """What has spoken against the upstream last."""

    @property
    def state(self) -> BreakerState:
        if not self._open:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._probe is None else BreakerState.HALF_OPEN

    def admits(self, now: float, *, alone: bool) -> bool:
        """Whether `enter` would let this one in. Who has nobody else to go to needs no cool-down: it loses nothing by
        trying, and the upstream's return is seen at once."""
        if not self._open:
            return True
        if self._probe is not None:
            return now - self._probing_since >= PROBE_PATIENCE
        return alone or now - self._cool_from >= COOL_DOWN

    def enter(self, now: float, *, alone: bool) -> Passage | None:
        """None for who is kept out."""
        if not self.admits(now, alone=alone):
            return None
        passage = Passage(self)
        if self._open:
            self._probe, self._probing_since = passage, now
        return passage

    # What a passage reports

    def _answered(self) -> None:
        # Also from who came in before it opened: the upstream speaks again.
        self._failures = 0
        self._open = False
        self._probe = None

    def _failed(self, passage: Passage, code: ErrorCode, now: float) -> None:
        self.last_failure = code
        if not self._open:
            self._failures += 1
            if self._failures >= FAILURES:
                self._open, self._cool_from = True, now
        elif passage is self._probe:
            self._probe, self._cool_from = None, now

    def _closed(self, passage: Passage) -> None:
        if passage is self._probe:
            self._probe = None
