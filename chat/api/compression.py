"""gzip for JSON, where the client takes it. Event streams are never compressed: a proxy or a client would hold them."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.text import compress_string

LEAST_BYTES = 1024
"""Less than this fits in one packet as it is."""
IN_THREAD_BYTES = 16 * 1024
"""From here on, half a millisecond or more, not on the loop."""
MOST_BYTES = 8 * 1024 * 1024
"""More costs a processor too long for one request."""

RANDOM_BYTES: int = GZipMiddleware.max_random_bytes
"""Added to each answer, as Django does it for pages: its length tells nobody what is in it (BREACH)."""

SECRETS = ("/api/v1/auth/", "/api/v1/api-keys", "/api/v1/webhooks")
"""Never compressed: what is in these answers stands beside what somebody else may have chosen."""


async def compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The same answer, compressed where that is worth it."""
    if (
        len(response.content) < LEAST_BYTES
        or not response.headers.get("Content-Type", "").startswith(("application/json", "text/"))
        or request.path_info.startswith(SECRETS)
        or "Content-Encoding" in response.headers
    ):
        return response
    patch_vary_headers(response, ("Accept-Encoding",))
    body = response.content
    if not takes_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")) or len(body) > MOST_BYTES:
        return response
    if len(body) < IN_THREAD_BYTES:
        shorter = compress_string(body, max_random_bytes=RANDOM_BYTES)
    else:
        shorter = await asyncio.to_thread(compress_string, body, max_random_bytes=RANDOM_BYTES)
    if len(shorter) < len(body):
        response.content = shorter
        response.headers["Content-Encoding"] = "gzip"
    return response


def takes_gzip(accept_encoding: str) -> bool:
    """By RFC 9110, 12.5.3: named, or `*`, and not with a weight of 0."""
    weights = {}
    for part in accept_encoding.lower().split(","):
        coding, _semicolon, parameter = part.partition(";")
        name, _equals, weight = parameter.strip().partition("=")
        weights[coding.strip()] = not (name.strip() == "q" and weight.strip().rstrip("0") in ("", "0.", "."))
    return weights.get("gzip", weights.get("*", False))
