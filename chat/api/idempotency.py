"""`Idempotency-Key` on the calls that create something else than a reply, whose generation knows its key itself."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import translation

from chat import runtime
from chat.api.authentication import identity_of
from chat.services.idempotency import Answer
from chat.services.requests import check_key

REPLAYED = {"Idempotency-Replayed": "true"}


async def once(
    request: HttpRequest, make: Callable[[], Awaitable[HttpResponse]], *, hidden: Sequence[str] = ()
) -> HttpResponse:
    """What `make` answers; the same request again, with the same key, is answered the same without it: with its status
    and its body, and the header `Idempotency-Replayed: true`. A key is its user's, for CHAT_IDEMPOTENCY_SECONDS.

    `make` comes to its end, whoever waits for it. What was refused is not kept, and of the fields that are `hidden` no
    value is: they are null in the answer to the same request again. Raises Conflict where the key was of another
    request, or is being answered: with `Retry-After` then. Without a key this is `make` alone.
    """
    key = check_key(request.META.get("HTTP_IDEMPOTENCY_KEY") or None)
    if key is None:
        return await make()
    language = translation.get_language()  # `make` runs in a task of its own
    made: list[HttpResponse] = []

    async def answer() -> Answer:
        with translation.override(language):
            response = await make()
        made.append(response)
        return Answer(response.status_code, _without(hidden, response.content))

    stored = await runtime.current().idempotency.once(identity_of(request).user, key, _digest(request), answer)
    if stored is None:
        return made[0]
    content_type = "application/json" if stored.body else None
    return HttpResponse(stored.body, status=stored.status, content_type=content_type, headers=REPLAYED)


def _without(hidden: Sequence[str], body: bytes) -> bytes:
    if not hidden or not body:
        return body
    return msgspec.json.encode(msgspec.json.decode(body) | dict.fromkeys(hidden))


def _digest(request: HttpRequest) -> str:
    """Tells one request from another. A form's boundary is made anew for each attempt: it says nothing."""
    body = request.body
    boundary = (request.content_params or {}).get("boundary", "")
    if boundary:
        body = body.replace(boundary.encode(errors="replace"), b"")
    digest = hashlib.sha256(f"{request.method}\0{request.get_full_path()}\0".encode(errors="replace"))
    digest.update(body)
    return digest.hexdigest()
