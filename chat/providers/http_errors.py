"""From what HTTP and its connection say to errors of ours; the upstream's own words go no further."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

import httpx

from chat.errors import ErrorCode, UpstreamError

LONGEST_RETRY_AFTER = 24 * 3600.0

_STATUS: Mapping[int, ErrorCode] = {
    401: ErrorCode.UPSTREAM_AUTH,
    402: ErrorCode.UPSTREAM_AUTH,
    403: ErrorCode.UPSTREAM_AUTH,
    408: ErrorCode.UPSTREAM_UNAVAILABLE,
    409: ErrorCode.UPSTREAM_UNAVAILABLE,
    429: ErrorCode.UPSTREAM_RATE_LIMITED,
}


def of_status(status: int, headers: httpx.Headers, *, provider: str) -> UpstreamError:
    """For an answer that is not 200. Only 429 and 5xx (and 408, 409) are worth a further attempt."""
    if status in _STATUS:
        code = _STATUS[status]
    elif status >= 500:
        code = ErrorCode.UPSTREAM_UNAVAILABLE
    elif status >= 400:
        code = ErrorCode.UPSTREAM_REJECTED
    else:
        code = ErrorCode.UPSTREAM_PROTOCOL
    again = code in (ErrorCode.UPSTREAM_UNAVAILABLE, ErrorCode.UPSTREAM_RATE_LIMITED)
    return UpstreamError(
        code,
        details={"provider": provider, "status": status},
        attempt_again=again,
        retry_after=retry_after(headers),
    )


def of_exception(error: httpx.HTTPError, *, provider: str, answered: bool) -> UpstreamError:
    """For a connection that failed. `answered`: a byte of the answer had come."""
    details = {"provider": provider}
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details=details, attempt_again=not answered)
    if isinstance(error, httpx.NetworkError):
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=not answered)
    if isinstance(error, httpx.RemoteProtocolError) and not answered:
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=True)
    return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details=details)


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds: from a number, or from a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = email.utils.parsedate_tz(value)
        if moment is None:
            return None
        seconds = email.utils.mktime_tz(moment) - time.time()
    return seconds if 0 <= seconds <= LONGEST_RETRY_AFTER else None
