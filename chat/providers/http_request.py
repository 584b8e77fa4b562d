"""Requests to upstreams, made of what is prepared once for a provider.

httpx goes through every header and the body again for each request: ten times the work.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from chat.providers.base import Pace


def prepared(url: httpx.URL, headers: Sequence[tuple[bytes, bytes]]) -> httpx.Headers:
    """What every request to this address says."""
    return httpx.Headers([(b"Host", url.netloc), *headers])


def post(
    url: httpx.URL, headers: httpx.Headers, body: bytes, pace: Pace | None, connect_seconds: float
) -> httpx.Request:
    """`headers`: prepared ones. `pace` is what the answer is read by; the connection has so long to stand."""
    request = _request("POST", url, headers, body, pace, connect_seconds)
    request.headers["Content-Length"] = str(len(body))
    return request


def get(url: httpx.URL, headers: httpx.Headers, pace: Pace | None, connect_seconds: float) -> httpx.Request:
    """The same without a body."""
    return _request("GET", url, headers, b"", pace, connect_seconds)


def _request(
    method: str, url: httpx.URL, headers: httpx.Headers, body: bytes, pace: Pace | None, connect_seconds: float
) -> httpx.Request:
    return httpx.Request(
        method,
        url,
        headers=headers,
        stream=httpx.ByteStream(body),
        extensions={"pace": pace, "timeout": {"connect": connect_seconds}},
    )
