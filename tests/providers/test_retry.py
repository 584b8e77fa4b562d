"""When a failed attempt is made again."""

from __future__ import annotations

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.providers.resilience.retry import delay_before


def test_the_backoff_doubles_up_to_its_cap_less_some_chance() -> None:
    error = UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
    assert [delay_before(n, error, 0.0) for n in (1, 2, 3, 4, 5, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert delay_before(1, error, 1.0) == 0.375


@pytest.mark.parametrize(("retry_after", "delay"), [(0.0, 0.0), (7.0, 7.0), (30.0, 30.0), (30.1, None), (3600.0, None)])
def test_an_upstream_that_names_its_patience_is_obeyed_up_to_a_limit(retry_after: float, delay: float | None) -> None:
    error = UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, attempt_again=True, retry_after=retry_after)
    assert delay_before(1, error, 1.0) == delay


def test_what_will_not_help_is_not_tried_again() -> None:
    assert delay_before(1, UpstreamError(ErrorCode.UPSTREAM_REJECTED), 0.0) is None
    assert delay_before(1, UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, retry_after=1.0), 0.0) is None
