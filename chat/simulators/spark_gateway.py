"""What iFlytek's gateway checks of a signed address, and how it refuses one.

Source: iFlytek's "通用鉴权 URL 生成说明"; the forms that differ are those of its own SDKs and of clients in wide use.
"""

from __future__ import annotations

import base64
import email.utils
import hmac
import re
import time
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Response

from chat.providers.spark_signing import sign
from chat.simulators.websocket_server import refusal

MAX_SKEW = 300
"""Seconds that the signed date may be off."""

SKEWED = "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication"
UNVERIFIABLE = "HMAC signature cannot be verified"
UNEQUAL = "HMAC signature does not match"
UNSIGNED = "Unauthorized"

_ORIGIN = re.compile(
    r'(?:hmac username|api_key)="([^"]*)",\s*algorithm="hmac-sha256",\s*headers="host date request-line",\s*'
    r'signature="([^"]*)"'
)
"""Any number of blanks behind the commas, and the gateway's own name for the key besides the documented one."""


def refused(address: str, api_key: str, api_secret: str) -> Response | None:
    """None for an address, path and query, that is signed with this key, lately. The host is what its query says:
    with or without a port; the date may say UTC for GMT."""
    target = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    if "authorization" not in query:
        return _refusal(HTTPStatus.UNAUTHORIZED, UNSIGNED)
    date = query.get("date", "")
    if not _is_recent(date):
        return _refusal(HTTPStatus.FORBIDDEN, SKEWED)
    try:
        match = _ORIGIN.fullmatch(base64.b64decode(query["authorization"]).decode())
    except ValueError:  # no Base64, or no UTF-8 in it
        match = None
    if match is None or match[1] != api_key:
        return _refusal(HTTPStatus.UNAUTHORIZED, UNVERIFIABLE)
    expected = sign(query.get("host", ""), date, target.path, api_secret)
    if not hmac.compare_digest(match[2].encode(), expected.encode()):
        return _refusal(HTTPStatus.UNAUTHORIZED, UNEQUAL)
    return None


def _refusal(status: HTTPStatus, message: str) -> Response:
    return refusal(status, {"message": message})


def _is_recent(date: str) -> bool:
    moment = email.utils.parsedate_tz(date)
    try:
        return moment is not None and abs(email.utils.mktime_tz(moment) - time.time()) <= MAX_SKEW
    except (ValueError, OverflowError):
        return False
