"""`ETag` and `If-None-Match` (RFC 9110, 13): who has an answer already gets 304 without a body.

The tag is a digest of the answer and of whose it is: nobody's list is taken for another's, and nothing need be kept.
It saves the way to the client, not the work: the answer is made to be compared.
"""

from __future__ import annotations

import asyncio
import hashlib

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

from chat.services.identity import Identity

VARIES = ("Authorization", "Cookie", "Accept-Language", "Accept-Encoding")
"""What an answer depends on beside its address; a 304 says the same as the answer that it stands for."""

IN_THREAD_BYTES = 1024 * 1024
"""From here on, a millisecond or more, the digest is not made on the loop."""


async def conditional(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer with what caches must know of it, or 304. Only a good answer to GET can be asked for so; whatever
    else there is must not be kept by anybody."""
    if request.method != "GET" or response.status_code != 200 or not _is_json(response):
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    response.headers.setdefault("Cache-Control", "private, no-cache")
    patch_vary_headers(response, VARIES)
    if "no-store" in response.headers["Cache-Control"]:
        return response
    if "ETag" not in response.headers:
        response.headers["ETag"] = await _tag(request, response.content)
    if not _has(request, response.headers["ETag"]):
        return response
    answer = HttpResponseNotModified()
    for name, value in response.headers.items():
        if not name.lower().startswith("content-"):
            answer.headers[name] = value
    return answer


def _is_json(response: HttpResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")


async def _tag(request: HttpRequest, body: bytes) -> str:
    """Weak: the same answer may be compressed or not."""
    if len(body) < IN_THREAD_BYTES:
        digest = _digest(request, body)
    else:
        digest = await asyncio.to_thread(_digest, request, body)
    return f'W/"{digest}"'


def _digest(request: HttpRequest, body: bytes) -> str:
    identity = getattr(request, "auth", None)
    owner = identity.user.bytes if isinstance(identity, Identity) else b""
    return hashlib.blake2b(body, digest_size=16, key=owner).hexdigest()


def _has(request: HttpRequest, tag: str) -> bool:
    known = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    return "*" in known or tag.removeprefix("W/") in {one.removeprefix("W/") for one in known}
