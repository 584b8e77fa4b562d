"""What Anthropic's errors mean, over HTTP and in mid-stream.

Source: the Claude API reference, "Errors", and the Python SDK's types/shared/error_type.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.providers.json_frames import json_object


class _Meaning(NamedTuple):
    code: ErrorCode
    cause: Cause | None = None


_TYPES: Mapping[str, _Meaning] = {
    "invalid_request_error": _Meaning(ErrorCode.UPSTREAM_REJECTED),
    "authentication_error": _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "permission_error": _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "billing_error": _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "not_found_error": _Meaning(ErrorCode.UPSTREAM_REJECTED),
    "request_too_large": _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT),
    "rate_limit_error": _Meaning(ErrorCode.UPSTREAM_RATE_LIMITED),
    "timeout_error": _Meaning(ErrorCode.UPSTREAM_UNAVAILABLE),
    "api_error": _Meaning(ErrorCode.UPSTREAM_UNAVAILABLE),
    "overloaded_error": _Meaning(ErrorCode.UPSTREAM_UNAVAILABLE),
}

_WORDS: tuple[tuple[str, _Meaning], ...] = (
    ("content filtering policy", _Meaning(ErrorCode.CONTENT_FILTERED)),
    ("credit balance", _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.QUOTA)),
    ("usage limits", _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.QUOTA)),
    ("prompt is too long", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT)),
    ("context limit", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT)),
    ("image", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PICTURES)),
    ("max_tokens", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS)),
    ("temperature", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS)),
    ("top_p", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS)),
    ("thinking", _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS)),
)
"""An invalid_request_error has no other mark than what it says: an empty purse is one, and so is a long question. The
first that is found counts."""


def error_in(body: bytes) -> dict[str, Any] | None:
    """The error that a JSON text holds, or None."""
    error = (json_object(body) or {}).get("error")
    return error if isinstance(error, dict) else None


def of_object(error: dict[str, Any] | None, *, provider: str) -> UpstreamError:
    """For an error where the stream should be, or in it."""
    code, cause = _meaning(error) or _Meaning(ErrorCode.UPSTREAM_UNAVAILABLE)
    details: dict[str, Any] = {"provider": provider}
    if cause is not None:
        details["cause"] = cause
    return UpstreamError(code, details=details, attempt_again=code in WORTH_WAITING)


def refine(error: UpstreamError, body: bytes) -> UpstreamError:
    """An HTTP status says less than its body."""
    meaning = _meaning(error_in(body))
    if meaning is None:
        return error
    details = dict(error.details)
    if meaning.cause is not None:
        details["cause"] = meaning.cause
    elif meaning.code is ErrorCode.CONTENT_FILTERED:
        details.pop("cause", None)
    again = error.attempt_again and meaning.code in WORTH_WAITING
    return UpstreamError(meaning.code, details=details, attempt_again=again, retry_after=error.retry_after)


def _meaning(error: dict[str, Any] | None) -> _Meaning | None:
    """None where there is no error, or one of a type that is not known."""
    if error is None:
        return None
    kind, message = error.get("type"), str(error.get("message")).lower()
    if kind == "invalid_request_error":
        for words, meaning in _WORDS:
            if words in message:
                return meaning
    if kind == "not_found_error" and message.startswith("model"):
        return _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.MODEL)
    return _TYPES.get(str(kind))
