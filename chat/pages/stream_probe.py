"""`/healthz/stream`: a short event stream without content, by which one sees whether a proxy holds parts back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from time import monotonic

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from chat.sse.stream import HEADERS
from chat.wire.sse import encode_event

PARTS = 5
PAUSE_SECONDS = 0.2
STREAMS_AT_ONCE = 4
"""Of one worker: anybody may ask."""

_ends: deque[float] = deque()
"""When the streams that have begun will be over. By the clock: a place is free again also where nobody read on."""


@require_safe
async def stream_probe(request: HttpRequest) -> HttpResponseBase:
    """With the headers of a reply's stream; 503 while there are enough of them."""
    now = monotonic()
    while _ends and _ends[0] <= now:
        _ends.popleft()
    if len(_ends) >= STREAMS_AT_ONCE:
        return HttpResponse("busy\n", status=503, content_type="text/plain", headers={"Retry-After": "1"})
    _ends.append(now + PARTS * PAUSE_SECONDS)
    return StreamingHttpResponse(_parts(), headers={name.decode(): value.decode() for name, value in HEADERS})


async def _parts() -> AsyncIterator[bytes]:
    """Each says which it is, and how many milliseconds after the first it was sent."""
    began = monotonic()
    for part in range(1, PARTS + 1):
        sent = round((monotonic() - began) * 1000)
        yield encode_event(part, "part", b'{"part":%d,"of":%d,"sent_ms":%d}' % (part, PARTS, sent))
        if part < PARTS:
            await asyncio.sleep(PAUSE_SECONDS)
