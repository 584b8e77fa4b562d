"""The circuit breaker by itself: its three states, and every way out of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chat.errors import ErrorCode
from chat.providers.resilience.breaker import COOL_DOWN, FAILURES, PROBE_PATIENCE, Breaker, BreakerState, Passage

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def passage(breaker: Breaker, now: float = 0.0, *, alone: bool = False) -> Passage:
    found = breaker.enter(now, alone=alone)
    assert found is not None
    return found


def fail(breaker: Breaker, times: int, code: ErrorCode = ErrorCode.UPSTREAM_UNAVAILABLE, now: float = 0.0) -> None:
    for _ in range(times):
        one = passage(breaker, now)
        one.failed(code, now)
        one.close()


@pytest.fixture
def opened() -> Breaker:
    """Since 0."""
    breaker = Breaker()
    fail(breaker, FAILURES)
    assert breaker.state is OPEN
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker()
    fail(breaker, FAILURES - 1, ErrorCode.UPSTREAM_TIMEOUT)
    passage(breaker).answered()
    fail(breaker, FAILURES - 1, ErrorCode.UPSTREAM_AUTH)
    assert breaker.state is CLOSED
    fail(breaker, 1, ErrorCode.UPSTREAM_RATE_LIMITED)
    assert breaker.state is OPEN
    assert breaker.last_failure is ErrorCode.UPSTREAM_RATE_LIMITED


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ErrorCode.UPSTREAM_TIMEOUT,
        ErrorCode.UPSTREAM_RATE_LIMITED,
        ErrorCode.UPSTREAM_AUTH,
        ErrorCode.UPSTREAM_PROTOCOL,
    ],
)
def test_what_speaks_against_the_upstream_opens_it(code: ErrorCode) -> None:
    breaker = Breaker()
    fail(breaker, FAILURES, code)
    assert breaker.state is OPEN


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_REJECTED, ErrorCode.CONTENT_FILTERED, ErrorCode.EMPTY_REPLY])
def test_what_speaks_against_the_question_does_not_open_it(code: ErrorCode) -> None:
    breaker = Breaker()
    fail(breaker, FAILURES * 2, code)
    assert breaker.state is CLOSED


def test_whoever_has_another_to_go_to_is_sent_there_until_the_cool_down_has_passed(opened: Breaker) -> None:
    assert opened.enter(COOL_DOWN - 0.1, alone=False) is None
    assert not opened.admits(COOL_DOWN - 0.1, alone=False)
    assert opened.admits(COOL_DOWN, alone=False)
    passage(opened, COOL_DOWN)
    assert opened.state is HALF_OPEN
    assert opened.enter(COOL_DOWN, alone=False) is None, "one is enough to see"


def test_whoever_asks_alone_is_the_probe_at_once_and_the_only_one(opened: Breaker) -> None:
    probe = passage(opened, 1.0, alone=True)
    assert opened.state is HALF_OPEN
    assert opened.enter(1.0, alone=True) is None
    probe.failed(ErrorCode.UPSTREAM_TIMEOUT, 2.0)
    assert (opened.state, opened.last_failure) == (OPEN, ErrorCode.UPSTREAM_TIMEOUT)
    assert opened.admits(2.0, alone=True)


def test_a_probes_first_token_closes_it_for_everybody(opened: Breaker) -> None:
    passage(opened, COOL_DOWN).answered()
    assert opened.state is CLOSED
    for _ in range(3):
        passage(opened, COOL_DOWN)
    fail(opened, FAILURES - 1)
    assert opened.state is CLOSED, "it counts from the beginning"


def test_a_probe_that_fails_opens_it_anew(opened: Breaker) -> None:
    probe = passage(opened, COOL_DOWN)
    probe.failed(ErrorCode.UPSTREAM_UNAVAILABLE, COOL_DOWN + 5)
    probe.close()
    assert opened.state is OPEN
    assert not opened.admits(2 * COOL_DOWN + 4.9, alone=False)
    assert opened.admits(2 * COOL_DOWN + 5, alone=False)


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(lambda probe: None, id="stopped"),
        pytest.param(lambda probe: probe.failed(ErrorCode.UPSTREAM_REJECTED, COOL_DOWN), id="rejected"),
        pytest.param(lambda probe: probe.failed(ErrorCode.EMPTY_REPLY, COOL_DOWN), id="empty"),
    ],
)
def test_a_probe_that_has_learnt_nothing_gives_way_to_the_next(
    opened: Breaker, ends: Callable[[Passage], None]
) -> None:
    probe = passage(opened, COOL_DOWN)
    ends(probe)
    probe.close()
    probe.close()
    assert opened.state is OPEN
    assert opened.enter(COOL_DOWN, alone=False) is not None


def test_a_probe_that_waits_and_waits_does_not_keep_others_out_for_ever(opened: Breaker) -> None:
    slow = passage(opened, COOL_DOWN)
    assert not opened.admits(COOL_DOWN + PROBE_PATIENCE - 0.1, alone=True)
    now = COOL_DOWN + PROBE_PATIENCE
    second = passage(opened, now, alone=True)
    slow.failed(ErrorCode.UPSTREAM_TIMEOUT, now)
    slow.close()
    assert opened.state is HALF_OPEN, "the second is the probe now"
    assert opened.enter(now, alone=True) is None
    second.close()
    assert opened.state is OPEN


def test_an_answer_to_who_came_in_before_closes_it_too() -> None:
    breaker = Breaker()
    early = passage(breaker)
    fail(breaker, FAILURES)
    late_failure = passage(breaker, 1.0, alone=True)
    early.answered()
    assert breaker.state is CLOSED
    late_failure.failed(ErrorCode.UPSTREAM_TIMEOUT, 2.0)
    late_failure.close()
    assert breaker.state is CLOSED


def test_failures_of_who_came_in_before_do_not_end_the_probe() -> None:
    breaker = Breaker()
    early = [passage(breaker) for _ in range(3)]
    fail(breaker, FAILURES)
    passage(breaker, 1.0, alone=True)
    for one in early:
        one.failed(ErrorCode.UPSTREAM_TIMEOUT, 2.0)
        one.close()
    assert breaker.state is HALF_OPEN
