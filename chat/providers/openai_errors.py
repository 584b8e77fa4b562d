"""What an `error` object of an OpenAI-like upstream means: by its own marks, never by the prose of its message.

Sources: the OpenAI API reference, "Error codes" and the codes of a failed response; Azure's and DashScope's content
inspection; Zhipu's table of numbers; Moonshot's types; Qianfan v2's table of codes; iFlytek's table for Spark's HTTP
interface; vLLM and llama.cpp, whose `code` is an HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.providers.http_errors import code_of_status
from chat.providers.json_frames import json_object

_MARKS: tuple[tuple[ErrorCode, tuple[str, ...]], ...] = (
    (
        ErrorCode.CONTENT_FILTERED,
        ("content_filter", "content_policy", "datainspection", "data_inspection", "moderation", "sensitive", "unsafe",
         "invalid_prompt"),
    ),
    # Quota before rate: it comes with 429 too, and no waiting helps.
    (
        ErrorCode.UPSTREAM_AUTH,
        ("quota", "balance", "arrear", "billing", "api_key", "apikey", "auth", "permission", "forbidden", "iam_token",
         "appid"),
    ),
    (ErrorCode.UPSTREAM_RATE_LIMITED, ("rate_limit", "ratelimit", "throttl", "too_many")),
    (
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ("overloaded", "server_error", "internal", "unavailable", "timeout", "service_error"),
    ),
    (
        ErrorCode.UPSTREAM_REJECTED,
        ("invalid", "context_length", "exceed_context", "too_long", "not_found", "badrequest", "bad_request",
         "malformed", "supported", "image"),
    ),
)  # fmt: skip
"""Parts of `type` and `code`, in lower case; the first group that matches counts."""

_NUMBERS: Mapping[str, ErrorCode] = {
    # Zhipu
    "1000": ErrorCode.UPSTREAM_AUTH,
    "1001": ErrorCode.UPSTREAM_AUTH,
    "1002": ErrorCode.UPSTREAM_AUTH,
    "1003": ErrorCode.UPSTREAM_AUTH,
    "1004": ErrorCode.UPSTREAM_AUTH,
    "1113": ErrorCode.UPSTREAM_AUTH,
    "1210": ErrorCode.UPSTREAM_REJECTED,
    "1211": ErrorCode.UPSTREAM_REJECTED,
    "1214": ErrorCode.UPSTREAM_REJECTED,
    "1261": ErrorCode.UPSTREAM_REJECTED,
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

_CAUSES: tuple[tuple[Cause, tuple[str, ...]], ...] = (
    (Cause.QUOTA, ("quota", "balance", "arrear", "billing", "1113", "11200")),
    (
        Cause.CONTEXT,
        ("context_length", "context_window", "exceed_context", "tokens_too_long", "characters_too_long", "10907",
         "1261"),
    ),
    (Cause.MODEL, ("model_not_found", "invalid_model", "model_not_exist", "modelnotfound", "1211")),
    (Cause.ADDRESS, ("unknown_url", "route", "endpoint", "method_not")),
    (Cause.KEY, ("api_key", "apikey", "auth", "iam_token", "invalid_appid")),
    (Cause.PICTURES, ("image",)),
    (
        Cause.PARAMETERS,
        ("unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_parameter", "invalidparameter",
         "invalid_argument", "above_max_value", "below_min_value", "1210", "1214"),
    ),
)  # fmt: skip
"""As above."""

_PARAMETERS = frozenset({"temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens"})
"""What `param` names where it is a setting of ours."""

_ALLOWANCE = ("throttl", "ratequota", "allocationquota")
"""DashScope calls its rates quotas too: Throttling.RateQuota, Throttling.AllocationQuota."""

_MENDABLE = frozenset({ErrorCode.UPSTREAM_AUTH, ErrorCode.UPSTREAM_REJECTED, ErrorCode.UPSTREAM_RATE_LIMITED})


def error_in(body: bytes | str) -> Any:
    """The error that a JSON text holds: under `error`, or the object itself where it carries a code; else None."""
    parsed = json_object(body)
    if parsed is None:
        return None
    if parsed.get("error"):
        return parsed["error"]
    return parsed if parsed.get("code") or parsed.get("error_code") else None


def code_of(error: Any) -> ErrorCode | None:
    """None where its marks say nothing."""
    marks = _marks(error)
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


def cause_of(error: Any) -> Cause | None:
    """None where its marks say nothing."""
    marks = _marks(error)
    if any(sign in mark for mark in marks for sign in _ALLOWANCE):
        return None
    for cause, signs in _CAUSES:
        if any(sign in mark for mark in marks for sign in signs):
            return cause
    parameter = error.get("param") if isinstance(error, dict) else None
    if parameter == "model":
        return Cause.MODEL
    return Cause.PARAMETERS if isinstance(parameter, str) and parameter in _PARAMETERS else None


def of_object(error: Any, *, provider: str) -> UpstreamError:
    """For an `error` object where the stream should be, or in it."""
    code = code_of(error) or ErrorCode.UPSTREAM_UNAVAILABLE
    details = {"provider": provider}
    if (cause := cause_of(error)) is not None and code in _MENDABLE:
        details["cause"] = cause
    return UpstreamError(code, details=details, attempt_again=code in WORTH_WAITING)


def refine(error: UpstreamError, body: bytes) -> UpstreamError:
    """An HTTP status says less than its body: an empty purse is no busy hour, nor a bad request, and neither is a
    refused content."""
    said = error_in(body)
    code, cause = code_of(said), cause_of(said)
    if cause is None and error.details.get("status") == 404 and isinstance(said, dict):
        cause = Cause.MODEL  # there is an API: what it does not find is the model
    details = error.details if cause is None else {**error.details, "cause": cause}
    refused = error.error_code in (ErrorCode.UPSTREAM_REJECTED, ErrorCode.UPSTREAM_AUTH)
    spent = error.error_code in (ErrorCode.UPSTREAM_RATE_LIMITED, ErrorCode.UPSTREAM_REJECTED)
    if (spent and code is ErrorCode.UPSTREAM_AUTH) or (refused and code is ErrorCode.CONTENT_FILTERED):
        if code is ErrorCode.CONTENT_FILTERED:
            details = {name: value for name, value in details.items() if name != "cause"}
        return UpstreamError(code, details=details)
    return UpstreamError(
        error.error_code, details=details, attempt_again=error.attempt_again, retry_after=error.retry_after
    )


def _marks(error: Any) -> list[str]:
    if not isinstance(error, dict):
        return []
    return [str(error[name]).lower() for name in ("type", "code", "error_code") if error.get(name)]
