"""Everything that can go wrong, as values of one small tree.

    ChatError
    ├── RequestError       a request is refused before a generation exists; carries an HTTP status
    └── GenerationFailed   a generation ends badly; carries the code of its `error` event
        └── UpstreamError  ... because of the upstream; raised by provider adapters

`message` is for a person: what went wrong and what to do. It never carries a secret, a stack trace or an
upstream's raw body. `details` is a small JSON object for a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Codes of a generation's `error` event."""

    UPSTREAM_AUTH = "UPSTREAM_AUTH"
    UPSTREAM_RATE_LIMITED = "UPSTREAM_RATE_LIMITED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    UPSTREAM_PROTOCOL = "UPSTREAM_PROTOCOL"
    UPSTREAM_REJECTED = "UPSTREAM_REJECTED"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    EMPTY_REPLY = "EMPTY_REPLY"
    INTERRUPTED = "INTERRUPTED"
    GENERATION_ERROR = "GENERATION_ERROR"


class Cause(StrEnum):
    """What an operator, or who chose the model, can do something about: `details["cause"]`, where it is known."""

    KEY = "key"
    QUOTA = "quota"
    MODEL = "model"
    ADDRESS = "address"
    CLOCK = "clock"
    CONTEXT = "context"
    PARAMETERS = "parameters"
    PICTURES = "pictures"


RETRYABLE = frozenset(
    {
        ErrorCode.UPSTREAM_RATE_LIMITED,
        ErrorCode.UPSTREAM_UNAVAILABLE,
        ErrorCode.UPSTREAM_TIMEOUT,
        ErrorCode.UPSTREAM_PROTOCOL,
        ErrorCode.EMPTY_REPLY,
        ErrorCode.INTERRUPTED,
        ErrorCode.GENERATION_ERROR,
    }
)
"""Codes where the same send may well succeed later; a person is offered to try again."""

WORTH_WAITING = frozenset({ErrorCode.UPSTREAM_RATE_LIMITED, ErrorCode.UPSTREAM_UNAVAILABLE})
"""Codes of an upstream's own errors where a moment later the same request may well be answered."""

WORDS: Mapping[ErrorCode, str] = {
    ErrorCode.UPSTREAM_AUTH: "The AI service did not accept this server's credentials. Please tell the operator.",
    ErrorCode.UPSTREAM_RATE_LIMITED: "The AI service is receiving too many requests. Please try again in a moment.",
    ErrorCode.UPSTREAM_UNAVAILABLE: "The AI service cannot be reached at the moment. Please try again.",
    ErrorCode.UPSTREAM_TIMEOUT: "The AI service took too long to answer. Please try again.",
    ErrorCode.UPSTREAM_PROTOCOL: "The AI service's answer broke off or could not be read. Please try again.",
    ErrorCode.UPSTREAM_REJECTED: "The AI service refused this request. Try another model or a shorter conversation.",
    ErrorCode.CONTENT_FILTERED: "The AI service declined this content. Please rephrase your message.",
    ErrorCode.EMPTY_REPLY: "The AI service sent an empty reply. Please try again.",
    ErrorCode.INTERRUPTED: "The server was interrupted while answering. What had arrived is kept; you can continue.",
    ErrorCode.GENERATION_ERROR: "Something went wrong on our side. Please try again.",
}
"""What a person reads for each code, in English; transports and services translate it."""


RESTARTING = "The server is restarting. Please try again."
LOG_AWAY = "The server cannot reach its event log. Please try again in a moment."
REFUSALS = (RESTARTING, LOG_AWAY)
"""The same for requests that are refused by who knows no languages."""


class ChatError(Exception):
    """The root: a code, words for a person, and details for a program."""

    code: str
    message: str
    details: Mapping[str, Any]

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}


class GenerationFailed(ChatError):
    """A generation ends with an `error` event of this code."""

    def __init__(self, code: ErrorCode, message: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, message or WORDS[code], details)
        self.error_code = code

    @property
    def retryable(self) -> bool:
        return self.error_code in RETRYABLE


class UpstreamError(GenerationFailed):
    """The upstream failed.

    `retry_after`: seconds that the upstream asked us to wait, if it did.
    `attempt_again`: whether a further attempt, before the first token, may help: 429, 5xx, a connection that
    died before its first byte; never another 4xx.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        details: Mapping[str, Any] | None = None,
        *,
        attempt_again: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, details)
        self.attempt_again = attempt_again
        self.retry_after = retry_after


class RequestError(ChatError):
    """A request is refused: an HTTP status, a code of the API, words, details, and maybe `Retry-After` seconds."""

    status = 400
    default_code = "INVALID_REQUEST"

    def __init__(
        self,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(self.default_code, message, details)
        if status is not None:
            self.status = status
        self.retry_after = retry_after


class InvalidRequest(RequestError):
    """400 for what cannot be read, 422 for what can be read and makes no sense."""


class Unauthenticated(RequestError):
    status = 401
    default_code = "UNAUTHENTICATED"


class Forbidden(RequestError):
    status = 403
    default_code = "FORBIDDEN"


class NotFound(RequestError):
    """Also for what belongs to somebody else."""

    status = 404
    default_code = "NOT_FOUND"


class Conflict(RequestError):
    status = 409
    default_code = "CONFLICT"


class TooLarge(RequestError):
    status = 413
    default_code = "TOO_LARGE"


class UnsupportedMedia(RequestError):
    status = 415
    default_code = "UNSUPPORTED_MEDIA"


class RateLimited(RequestError):
    status = 429
    default_code = "RATE_LIMITED"


class Unavailable(RequestError):
    status = 503
    default_code = "UNAVAILABLE"
