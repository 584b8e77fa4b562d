"""From what HTTP and its connection say to errors of ours; the upstream's own words go no further."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
from collections.abc import Mapping

import httpx

from chat.errors import Cause, ErrorCode, UpstreamError
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


_CAUSE: Mapping[int, Cause] = {401: Cause.KEY, 402: Cause.QUOTA, 403: Cause.KEY, 404: Cause.ADDRESS}
"""As long as the body does not say better."""

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons where what came is no record of TLS: plain HTTP is spoken there."""


def code_of_status(status: int) -> ErrorCode:
    """For a status other than 200."""
    if status in _STATUS:
        return _STATUS[status]
    if status >= 500:
        return ErrorCode.UPSTREAM_UNAVAILABLE
    return ErrorCode.UPSTREAM_REJECTED if status >= 400 else ErrorCode.UPSTREAM_PROTOCOL


def of_status(status: int, headers: httpx.Headers, *, provider: str) -> UpstreamError:
    """For an answer that is not 200. Only 429 and 5xx are worth a further attempt, and not where the upstream says in
    `x-should-retry` that it won't help."""
    details: dict[str, object] = {"provider": provider, "status": status}
    if 300 <= status < 400:
        details["cause"] = Cause.ADDRESS  # a redirection, which nobody follows with a key
    elif status in _CAUSE:
        details["cause"] = _CAUSE[status]
    return UpstreamError(
        code_of_status(status),
        details=details,
        attempt_again=(status == 429 or status >= 500) and headers.get("x-should-retry", "").lower() != "false",
        retry_after=retry_after(headers),
    )


def of_exception(error: httpx.HTTPError, *, provider: str, answered: bool) -> UpstreamError:
    """For a connection that failed. `answered`: a byte of the answer had come."""
    details = {"provider": provider}
    if isinstance(error, httpx.ConnectError):
        details |= {"cause": Cause.ADDRESS, "connection": of_connection(error.__cause__)}
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, details=details)
    if isinstance(error, httpx.ReadError | httpx.WriteError | NoAnswer | CutShort):
        details |= {"connection": "died"}
    if isinstance(error, httpx.NetworkError | NoAnswer):
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=not answered)
    if isinstance(error, CutShort):
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details)
    return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details=details)


def of_connection(error: BaseException | None) -> str:
    """What kept a connection from standing, in a word: `unknown` host, `tls`, `no_tls` where none is spoken, `refused`
    or `failed`."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return "unknown"
    if isinstance(error, ssl.SSLError):
        return "no_tls" if error.reason in _NO_TLS else "tls"
    return "refused" if isinstance(error, ConnectionRefusedError) else "failed"


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from milliseconds (OpenAI's `retry-after-ms`, the more exact one), from a number or from a date (RFC
    9110, 10.2.3); None where there is no sense in it."""
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        seconds /= 1000
    elif (value := headers.get("retry-after")) is not None:
        seconds = _number(value)
        if seconds is None:
            seconds = _until(value)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if number >= 0 else None


def _until(date: str) -> float | None:
    moment = email.utils.parsedate_tz(date)
    if moment is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(moment) - time.time())
    except (ValueError, OverflowError):
        return None
