"""What Gemini's errors mean: Google's `Status` as JSON, over HTTP and in mid-stream.

Source: the Gemini API's "Troubleshooting guide", google/rpc/code.proto and error_details.proto, and the Python SDK's
errors.py and _api_client.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.providers.http_errors import LONGEST_RETRY_AFTER, code_of_status

_STATUS: Mapping[str, tuple[ErrorCode, Cause | None]] = {
    "INVALID_ARGUMENT": (ErrorCode.UPSTREAM_REJECTED, None),
    "OUT_OF_RANGE": (ErrorCode.UPSTREAM_REJECTED, None),
    "UNIMPLEMENTED": (ErrorCode.UPSTREAM_REJECTED, None),
    "NOT_FOUND": (ErrorCode.UPSTREAM_REJECTED, Cause.MODEL),
    # Where the free tier ends, or Google does not serve.
    "FAILED_PRECONDITION": (ErrorCode.UPSTREAM_AUTH, None),
    "PERMISSION_DENIED": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "UNAUTHENTICATED": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "RESOURCE_EXHAUSTED": (ErrorCode.UPSTREAM_RATE_LIMITED, None),
    "ABORTED": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "CANCELLED": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "DATA_LOSS": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "DEADLINE_EXCEEDED": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "INTERNAL": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "UNAVAILABLE": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "UNKNOWN": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
}

_REASONS: Mapping[str, Cause] = {
    "API_KEY_INVALID": Cause.KEY,
    "API_KEY_EXPIRED": Cause.KEY,
    "BILLING_DISABLED": Cause.QUOTA,
}
"""Of an ErrorInfo: what makes a bad request, as its status has it, one of a wrong key or an empty purse."""

_WORDS: tuple[tuple[str, Cause], ...] = (
    ("token count", Cause.CONTEXT),
    ("payload size", Cause.CONTEXT),
    ("image", Cause.PICTURES),
    ("inline_data", Cause.PICTURES),
    ("generation_config", Cause.PARAMETERS),
    ("temperature", Cause.PARAMETERS),
    ("top_p", Cause.PARAMETERS),
    ("thinking", Cause.PARAMETERS),
)
"""An INVALID_ARGUMENT has no other mark than what it says. The first that is found counts."""

_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def error_in(body: bytes) -> dict[str, Any] | None:
    """The error that a JSON text begins with, also as the first of an array; or None."""
    try:
        value, _end = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip("[, \t\r\n"))
    except (ValueError, RecursionError):
        return None
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else None


def of_object(error: dict[str, Any], *, provider: str) -> UpstreamError:
    """For an error where the stream should be, or in it."""
    code, cause = _meaning(error) or (ErrorCode.UPSTREAM_UNAVAILABLE, None)
    details: dict[str, Any] = {"provider": provider}
    if cause is not None:
        details["cause"] = cause
    again = code in WORTH_WAITING
    return UpstreamError(code, details=details, attempt_again=again, retry_after=_retry_after(error))


def refine(error: UpstreamError, body: bytes) -> UpstreamError:
    """An HTTP status says less than its body: a wrong key is a bad request too."""
    said = error_in(body)
    meaning = None if said is None else _meaning(said)
    if said is None or meaning is None:
        return error
    code, cause = meaning
    details = dict(error.details) if cause is None else {**error.details, "cause": cause}
    delay = _retry_after(said)
    return UpstreamError(
        code,
        details=details,
        attempt_again=error.attempt_again and code in WORTH_WAITING,
        retry_after=error.retry_after if delay is None else delay,
    )


def _meaning(error: dict[str, Any]) -> tuple[ErrorCode, Cause | None] | None:
    """None for a status that is not known."""
    for detail in _details(error):
        if (cause := _REASONS.get(str(detail.get("reason")))) is not None:
            return ErrorCode.UPSTREAM_AUTH, cause
    status, message = str(error.get("status")), str(error.get("message")).lower()
    if status == "INVALID_ARGUMENT":
        return ErrorCode.UPSTREAM_REJECTED, next((cause for words, cause in _WORDS if words in message), None)
    if status == "FAILED_PRECONDITION" and "billing" in message:
        return ErrorCode.UPSTREAM_AUTH, Cause.QUOTA
    if status == "RESOURCE_EXHAUSTED" and any("PerDay" in quota for quota in _quotas(error)):
        return ErrorCode.UPSTREAM_RATE_LIMITED, Cause.QUOTA
    number = error.get("code")
    if status not in _STATUS and isinstance(number, int) and 400 <= number <= 599:
        return code_of_status(number), None
    return _STATUS.get(status)


def _quotas(error: dict[str, Any]) -> list[str]:
    """Names of those that are used up, such as GenerateRequestsPerDayPerProjectPerModel-FreeTier."""
    violations = [violation for detail in _details(error) for violation in _objects(detail.get("violations"))]
    return [str(violation.get("quotaId")) for violation in violations]


def _retry_after(error: dict[str, Any]) -> float | None:
    """Seconds, of a RetryInfo such as {"retryDelay": "34.07s"}."""
    for detail in _details(error):
        if match := _DELAY.fullmatch(str(detail.get("retryDelay"))):
            return min(float(match[1]), LONGEST_RETRY_AFTER)
    return None


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(error.get("details"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
