"""What an `error_code` of Qianfan's first interface means.

Source: Baidu's "错误码" page of the Qianfan platform, and `APIErrorCode` of its bce-qianfan-sdk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat.errors import Cause, ErrorCode, UpstreamError

TOKEN_REFUSED = frozenset({110, 111})
"""The access token is invalid, or has expired: a new one may help."""

_AUTH: Mapping[int, Cause] = {
    6: Cause.KEY,
    13: Cause.KEY,
    14: Cause.KEY,
    15: Cause.KEY,
    17: Cause.QUOTA,
    19: Cause.QUOTA,
    100: Cause.KEY,
    110: Cause.KEY,
    111: Cause.KEY,
    336004: Cause.KEY,
}
_REJECTED: Mapping[int, Cause] = {
    3: Cause.MODEL,
    336001: Cause.PARAMETERS,
    336002: Cause.PARAMETERS,
    336003: Cause.PARAMETERS,
    336005: Cause.MODEL,
    336007: Cause.CONTEXT,
    336101: Cause.PARAMETERS,
    336103: Cause.CONTEXT,
    336104: Cause.PARAMETERS,
    336105: Cause.PARAMETERS,
}
_RATE_LIMITED = frozenset({4, 18, 336501, 336502})
_UNAVAILABLE = frozenset({1, 2, 336000, 336100})

KNOWN = _AUTH.keys() | _REJECTED.keys() | _RATE_LIMITED | _UNAVAILABLE


def code_in(value: Any) -> int | None:
    """The number in a field `error_code`; None where it says that nothing is wrong, 0 for what is no number."""
    if value in (None, 0, "0", ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def of_code(code: int, *, provider: str) -> UpstreamError:
    """A code that is not in the table is a refusal."""
    details: dict[str, Any] = {"provider": provider, "upstream_code": code}
    if code in _RATE_LIMITED:
        return UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, details=details, attempt_again=True)
    if code in _UNAVAILABLE:
        return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=True)
    if code in _AUTH:
        return UpstreamError(ErrorCode.UPSTREAM_AUTH, details={**details, "cause": _AUTH[code]})
    if code in _REJECTED:
        details["cause"] = _REJECTED[code]
    return UpstreamError(ErrorCode.UPSTREAM_REJECTED, details=details)
