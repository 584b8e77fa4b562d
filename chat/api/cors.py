"""Cross-origin requests (the Fetch standard's CORS protocol) for the origins of CHAT_CORS_ORIGINS, on every answer.

Not django-cors-headers: that is middleware for Django's responses, and here the event streams, the refusals of a body
that is too large and the sockets never pass such a chain. All of them need the same few headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from chat.services.origins import may_call, may_use_session

FOR_OPERATIONS = frozenset({"/healthz", "/healthz/stream", "/readyz", "/metrics"})
"""Who may read these is decided by the address: a page must not read them through an operator's browser."""

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-CSRFToken",
    "X-Request-ID",
)

RESPONSE_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "X-Conversation-Id",
    "X-Generation-Id",
    "X-Request-ID",
    "x-vercel-ai-ui-message-stream",
)
"""That scripts of the other origin may read."""

PREFLIGHT_SECONDS = 7200
"""How long a browser may remember the answer; Chromium remembers no longer."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_EXPOSED = ", ".join(RESPONSE_HEADERS)


def answer_headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Of every answer to this request; empty while no origins are listed."""
    if not settings.CHAT_CORS_ORIGINS or scope["path"] in FOR_OPERATIONS:
        return {}
    headers = {"Vary": "Origin"}
    origin = _header(scope, b"origin")
    if origin is not None and may_call(origin):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        if may_use_session(origin):
            headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def preflight_headers(scope: Mapping[str, Any]) -> dict[str, str] | None:
    """Of the answer to a browser that asks whether its page may send a request; None for any other request. Without
    Access-Control-Allow-Origin among them, it may not."""
    if scope["method"] != "OPTIONS" or not settings.CHAT_CORS_ORIGINS or scope["path"] in FOR_OPERATIONS:
        return None
    if _header(scope, b"origin") is None or _header(scope, b"access-control-request-method") is None:
        return None
    headers = answer_headers(scope)
    headers["Vary"] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    if "Access-Control-Allow-Origin" in headers:
        headers.pop("Access-Control-Expose-Headers")
        headers["Access-Control-Allow-Methods"] = METHODS
        headers["Access-Control-Allow-Headers"] = ", ".join(_allowed(scope))
        headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return headers


def _allowed(scope: Mapping[str, Any]) -> list[str]:
    """Ours, and what else is asked for: clients send headers of their own (OpenAI's: X-Stainless-…), and none that
    this server does not know does anything."""
    asked = (_header(scope, b"access-control-request-headers") or "").split(",")
    ours = {name.lower() for name in REQUEST_HEADERS}
    others = {name for part in asked if _TOKEN.fullmatch(name := part.strip().lower())} - ours
    return [*REQUEST_HEADERS, *sorted(others)]


def _header(scope: Mapping[str, Any], name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            found: str = value.decode("latin1")
            return found
    return None
