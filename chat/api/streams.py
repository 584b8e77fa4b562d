"""A reply as an event stream, of whoever has signed the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest

from chat import runtime
from chat.api.authentication import identity_of
from chat.engine.reader import Reader
from chat.services.sending import Started
from chat.sse.encoder import NATIVE, Encoder
from chat.sse.stream import EventStream


def event_stream(
    request: HttpRequest,
    attach: Callable[[Reader], Awaitable[Any]],
    headers: Mapping[str, str],
    encoder: Encoder = NATIVE,
) -> EventStream:
    """What `attach` has a reader follow. A dialect gives an encoder of its own for each stream."""
    current = runtime.current()
    return EventStream(current.readers, current.sign_outs, attach, headers, identity_of(request), encoder)


def started_stream(request: HttpRequest, started: Started, encoder: Encoder = NATIVE) -> EventStream:
    """A reply that was just started, from its beginning."""
    generations, user = runtime.current().generations, identity_of(request).user

    async def attach(reader: Reader) -> None:
        await generations.follow_started(reader, started, user)

    return event_stream(request, attach, headers_of(started), encoder)


def headers_of(started: Started) -> dict[str, str]:
    """That every answer to a send has, in whatever format."""
    return {"X-Generation-Id": started.start.generation, "X-Conversation-Id": started.start.conversation}
