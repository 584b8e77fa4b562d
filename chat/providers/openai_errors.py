"""What an `error` object of an OpenAI-like upstream means: by its own marks, never by the prose of its message.

Sources: the OpenAI API reference, "Error codes"; Azure's and DashScope's content inspection; Zhipu's table of numbers;
Moonshot's types; iFlytek's table for Spark's HTTP interface; vLLM and llama.cpp, whose `code` is an HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.providers.http_errors import code_of_status

_MARKS: tuple[tuple[ErrorCode, tuple[str, ...]], ...] = (
    (
        ErrorCode.CONTENT_FILTERED,
        ("content_filter", "content_policy", "datainspection", "data_inspection", "moderation", "sensitive"),
    ),
    # Quota before rate: it comes with 429 too, and no waiting helps.
    (
        ErrorCode.UPSTREAM_AUTH,
        ("quota", "balance", "arrear", "billing", "api_key", "apikey", "auth", "permission", "forbidden"),
    ),
    (ErrorCode.UPSTREAM_RATE_LIMITED, ("rate_limit", "ratelimit", "throttl", "too_many")),
    (
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ("overloaded", "server_error", "internal", "unavailable", "timeout", "service_error"),
    ),
    (ErrorCode.UPSTREAM_REJECTED, ("invalid", "context_length", "not_found", "badrequest", "bad_request")),
)
"""Parts of `type` and `code`, in lower case; the first group that matches counts."""

_NUMBERS: Mapping[str, ErrorCode] = {
    # Zhipu
    "1113": ErrorCode.UPSTREAM_AUTH,
    "1301": ErrorCode.CONTENT_FILTERED,
    "1302": ErrorCode.UPSTREAM_RATE_LIMITED,
    "1303": ErrorCode.UPSTREAM_RATE_LIMITED,
    "1305": ErrorCode.UPSTREAM_RATE_LIMITED,
    # Spark
    "10006": ErrorCode.UPSTREAM_RATE_LIMITED,
    "10007": ErrorCode.UPSTREAM_RATE_LIMITED,
    "10013": ErrorCode.CONTENT_FILTERED,
    "10014": ErrorCode.CONTENT_FILTERED,
    "10019": ErrorCode.CONTENT_FILTERED,
    "10907": ErrorCode.UPSTREAM_REJECTED,
    "11200": ErrorCode.UPSTREAM_AUTH,
    "11201": ErrorCode.UPSTREAM_RATE_LIMITED,
    "11202": ErrorCode.UPSTREAM_RATE_LIMITED,
    "11203": ErrorCode.UPSTREAM_RATE_LIMITED,
}

_ALLOWANCE = ("throttl", "ratequota", "allocationquota")
"""DashScope calls its rates quotas too: Throttling.RateQuota, Throttling.AllocationQuota."""

_WORTH_WAITING = frozenset({ErrorCode.UPSTREAM_RATE_LIMITED, ErrorCode.UPSTREAM_UNAVAILABLE})


def error_in(body: bytes | str) -> Any:
    """The error that a JSON text holds: under `error`, or the object itself where it carries a code; else None."""
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    if parsed.get("error"):
        return parsed["error"]
    return parsed if parsed.get("code") or parsed.get("error_code") else None


def code_of(error: Any) -> ErrorCode | None:
    """None where its marks say nothing."""
    if not isinstance(error, dict):
        return None
    marks = [str(error[name]).lower() for name in ("type", "code", "error_code") if error.get(name)]
    if any(sign in mark for mark in marks for sign in _ALLOWANCE):
        return ErrorCode.UPSTREAM_RATE_LIMITED
    for code, signs in _MARKS:
        if any(sign in mark for mark in marks for sign in signs):
            return code
    for mark in marks:
        if mark in _NUMBERS:
            return _NUMBERS[mark]
        if mark.isascii() and mark.isdigit() and 400 <= int(mark[:4]) <= 599:
            return code_of_status(int(mark[:4]))
    return None


def of_object(error: Any, *, provider: str) -> UpstreamError:
    """For an `error` object where the stream should be, or in it."""
    code = code_of(error) or ErrorCode.UPSTREAM_UNAVAILABLE
    return UpstreamError(code, details={"provider": provider}, attempt_again=code in _WORTH_WAITING)


def refine(error: UpstreamError, body: bytes) -> UpstreamError:
    """An HTTP status says less than its body: an empty purse is no busy hour, a refused content no bad request."""
    code = code_of(error_in(body))
    if error.error_code is ErrorCode.UPSTREAM_RATE_LIMITED and code is ErrorCode.UPSTREAM_AUTH:
        return UpstreamError(code, details=error.details)
    refused = error.error_code in (ErrorCode.UPSTREAM_REJECTED, ErrorCode.UPSTREAM_AUTH)
    if refused and code is ErrorCode.CONTENT_FILTERED:
        return UpstreamError(code, details=error.details)
    return error
