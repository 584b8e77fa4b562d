"""What the numbers in `header.code` of iFlytek Spark mean.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档" and "图片理解 API 文档", their tables of error codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chat.errors import Cause, ErrorCode, UpstreamError

SENSITIVE_REPLY = 10019
"""Comes behind a reply that is complete, and that may be shown: no failure of it."""


class _Meaning(NamedTuple):
    code: ErrorCode
    cause: Cause | None = None
    attempt_again: bool = False


_BUSY = _Meaning(ErrorCode.UPSTREAM_RATE_LIMITED, attempt_again=True)
_TROUBLE = _Meaning(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
_MALFORMED = _Meaning(ErrorCode.UPSTREAM_REJECTED)
_PARAMETERS = _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS)
_PICTURE = _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.PICTURES)
_FILTERED = _Meaning(ErrorCode.CONTENT_FILTERED)
_USED_UP = _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.QUOTA)

_CODES: Mapping[int, _Meaning] = {
    10000: _TROUBLE,  # the upgrade failed
    10001: _TROUBLE,  # our message could not be read
    10002: _TROUBLE,  # theirs could not be sent
    10003: _MALFORMED,  # the message's format
    10004: _MALFORMED,  # the message's schema
    10005: _PARAMETERS,
    10006: _BUSY,  # the same user is connected elsewhere
    10007: _BUSY,  # the question before it still runs
    10008: _TROUBLE,  # capacity
    10009: _TROUBLE,  # the engine: connecting …
    10010: _TROUBLE,  # … receiving …
    10011: _TROUBLE,  # … sending …
    10012: _TROUBLE,  # … within
    10013: _FILTERED,  # the question
    10014: _FILTERED,  # the answer, in its middle
    10015: _Meaning(ErrorCode.UPSTREAM_AUTH, Cause.KEY),  # the app_id is on a black list
    10016: _USED_UP,  # the app_id has no right to the version, no tokens, or no concurrency left
    10017: _TROUBLE,  # clearing a history
    10018: _TROUBLE,  # five minutes of pings only
    SENSITIVE_REPLY: _FILTERED,
    10021: _FILTERED,  # the question, again
    10022: _FILTERED,  # a picture that was made
    10029: _PICTURE,  # a side of more than 12800 px
    10041: _PICTURE,  # less than 50×50 or more than 6000×6000 px
    10110: _TROUBLE,  # busy
    10163: _PARAMETERS,  # the engine's own schema
    10222: _TROUBLE,  # the engine's network
    10223: _TROUBLE,  # no engine
    10907: _Meaning(ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT),
    11200: _USED_UP,  # no licence, or its volume is gone
    11201: _Meaning(ErrorCode.UPSTREAM_RATE_LIMITED, Cause.QUOTA),  # the day's volume: no pause of ours is long enough
    11202: _BUSY,  # a second's
    11203: _BUSY,  # concurrency
}

_FAMILIES: Mapping[int, _Meaning] = {102: _TROUBLE, 112: _USED_UP}
"""Of a number that is in no table, by its hundreds: the engine's, and the licence's. Any other is a refusal."""


def of_code(code: int, *, provider: str) -> UpstreamError:
    """For a `code` that is not 0."""
    meaning = _CODES.get(code) or _FAMILIES.get(code // 100, _MALFORMED)
    details: dict[str, object] = {"provider": provider, "upstream_code": code}
    if meaning.cause is not None:
        details["cause"] = meaning.cause
    return UpstreamError(meaning.code, details=details, attempt_again=meaning.attempt_again)
