"""From what HTTP and its connection say to errors of ours; the upstream's own words go no further."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

import httpx

from chat.errors import ErrorCode, UpstreamError
from chat.providers.http import CutShort, NoAnswer

LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds: a longer wait means the same to us, and some numbers are none."""

_STATUS: Mapping[int, ErrorCode] = {
    401: ErrorCode.UPSTREAM_AUTH,
    402: ErrorCode.UPSTREAM_AUTH,
    403: ErrorCode.UPSTREAM_AUTH,
    408: ErrorCode.UPSTREAM_UNAVAILABLE,
    409: ErrorCode.UPSTREAM_UNAVAILABLE,
    429: ErrorCode.UPSTREAM_RATE_LIMITED,
}


def code_of_status(status: int) -> ErrorCode:
    """For a status other than 200."""
    if status in _STATUS:
        return _STATUS[status]
    if status >= 500:
        return ErrorCode.UPSTREAM_UNAVAILABLE
    return ErrorCode.UPSTREAM_REJECTED if status >= 400 else ErrorCode.UPSTREAM_PROTOCOL


def of_status(status: int, headers: httpx.Headers, *, provider: str) -> UpstreamError:
    """For an answer that is not 200. Only 429 and 5xx are worth a further attempt."""
    return UpstreamError(
        code_of_status(status),
        details={"provider": provider, "status": status},
        attempt_again=status == 429 or status >= 500,
        retry_after=retry_after(headers),
    )


def of_exception(error: httpx.HTTPError, *, provider: str, answered: bool) -> UpstreamError:
    """For a connection that failed. `answered`: a byte of the answer had come."""
    details = {"provider": provider}
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details=details)
    if isinstance(error, httpx.NetworkError | NoAnswer):
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=not answered)
    if isinstance(error, CutShort):
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details)
    return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details=details)


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from a number or from a date (RFC 9110, 10.2.3); None where there is no sense in it."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        if moment is None:
            return None
        try:
            seconds = max(0.0, email.utils.mktime_tz(moment) - time.time())
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_RETRY_AFTER) if seconds >= 0 else None
