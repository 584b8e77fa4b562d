"""Refusals and failures as OpenAI's clients know them: `{"error": {"message", "type", "param", "code"}}`.

Sources: the OpenAI API reference, "Error codes", and what the official SDKs make of each status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from ninja import Schema

from chat.errors import Cause, Conflict, InvalidRequest, NotFound, RequestError, TooLarge, Unauthenticated
from chat.providers.registry import UnknownModel
from chat.services.responses import NoPreviousResponse

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"

_TYPES = {403: "permission_error", 429: "rate_limit_error", 500: SERVER_ERROR, 503: SERVER_ERROR}
_CODES = {
    401: "invalid_api_key",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_supported",
    409: "conflict",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "service_unavailable",
}

_FAILURES: Mapping[str, tuple[int, str, str]] = {
    "UPSTREAM_RATE_LIMITED": (429, "rate_limit_error", "rate_limit_exceeded"),
    "UPSTREAM_TIMEOUT": (504, SERVER_ERROR, "upstream_timeout"),
    "CONTENT_FILTERED": (400, INVALID_REQUEST, "content_filter"),
}
"""By the code of a failed reply: status, type and code. Every other `UPSTREAM_*` is 502, and the rest 500."""


class OpenAIError(Schema):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(Schema):
    error: OpenAIError


REFUSALS = dict.fromkeys((400, 401, 403, 404, 409, 413, 415, 429, 500, 503), OpenAIErrorBody)
"""What each operation declares that it may be refused with."""


class Refused(InvalidRequest):
    """A request that makes no sense, or asks for what there is not: 400, with the parameter that is to blame."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message, {"field": param})
        self.openai_code = code


def error_body(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def plain_error(status: int, words: str) -> dict[str, Any]:
    """Where no view was asked."""
    return error_body(words, _TYPES.get(status, INVALID_REQUEST), code=_CODES.get(status))


def refusal(error: RequestError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers. What the native API tells apart as 422 is 400 here, where the SDKs expect it."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Conflict):
        headers["X-Should-Retry"] = "false"  # the SDKs retry every other 409, and this one would stay
    status, code = _status_and_code(error)
    param = error.details.get("field")
    body = error_body(_(error.message), _TYPES.get(status, INVALID_REQUEST), param and _param(str(param)), code)
    return status, body, headers


def _status_and_code(error: RequestError) -> tuple[int, str | None]:
    if isinstance(error, UnknownModel):
        return 404, "model_not_found"
    if isinstance(error, NoPreviousResponse):
        return 404, "previous_response_not_found"
    if isinstance(error, TooLarge) and "field" in error.details:
        return 400, "string_above_max_length"
    if isinstance(error, Refused):
        return 400, error.openai_code
    if isinstance(error, NotFound | Conflict) or error.status not in (400, 422):
        return error.status, _CODES.get(error.status)
    return 400, None


def _param(field: str) -> str:
    """Our name for a field, in the words of this format."""
    return field.removeprefix("params.")


def failure(message: str, code: str, details: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Of a reply that failed, by its `error` event: status, for who waits for the whole, and body."""
    if details.get("cause") == Cause.CONTEXT:  # programs shorten their history by this code
        return 400, error_body(message, INVALID_REQUEST, "messages", "context_length_exceeded")
    default = 502 if code.startswith("UPSTREAM_") else 500
    status, type, own = _FAILURES.get(code, (default, SERVER_ERROR, code.lower()))
    return status, error_body(message, type, code=own)
