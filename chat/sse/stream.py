"""An event stream as a raw ASGI answer: headers, then each event as it comes, a ping in silence.

A Django view decides whether there is a stream, and hands it over as an `EventStream`; the handler serves it once
Django has let go of the request, so that a stream holds no thread and no database connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpResponse

from chat.engine.reader import Delivery, Reader, ReaderDropped
from chat.engine.readers import Readers
from chat.errors import RequestError
from chat.services.identity import Identity
from chat.services.sign_outs import SignOuts
from chat.sse.encoder import NATIVE, Encoder

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]
"""As ASGI has them."""

HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

WRITE_BYTES = 64 * 1024
"""One write to the connection at most: a large event goes in pieces, so that a slow client holds one piece."""


class EventStream(HttpResponse):
    """The answer of a view: what the handler is to stream. `attach` has a reader follow what is to be streamed. Only
    what `headers` names, in ASCII, goes out with its own headers: nobody asks Django's for them. `identity`: whose
    stream it is; it ends with that sign-in, cleanly and without a terminal event."""

    def __init__(
        self,
        readers: Readers,
        sign_outs: SignOuts,
        attach: Callable[[Reader], Awaitable[Any]],
        headers: Mapping[str, str],
        identity: Identity,
        encoder: Encoder = NATIVE,
    ) -> None:
        super().__init__()
        self.readers = readers
        self.sign_outs = sign_outs
        self.attach = attach
        self.identity = identity
        self.encoder = encoder
        self.signed_out = False
        self.own_headers: Headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


async def serve(stream: EventStream, headers: Headers, receive: Receive, send: Send) -> None:
    """Streams until the generation has ended, the client has gone, or it has taken nothing for too long. `headers`:
    what every response has."""
    task = asyncio.current_task()
    assert task is not None
    reader = stream.readers.open(lambda: _cancel(task), "sse")
    gone = asyncio.create_task(_gone(receive))
    gone.add_done_callback(lambda _: reader.leave())

    def sign_out() -> None:
        stream.signed_out = True
        reader.end()

    watch = stream.sign_outs.watch(stream.identity, sign_out)
    try:
        try:
            await stream.attach(reader)
        except RequestError as error:
            await _refuse(error, stream.encoder, headers, send)
            return
        headers = [*HEADERS, *stream.own_headers, *headers]
        await send({"type": "http.response.start", "status": stream.status_code, "headers": headers})
        await _serve(reader, stream, send)
    except (ReaderDropped, asyncio.CancelledError):
        # Dropped, or the worker is going: the connection ends unfinished, and the client comes back with its cursor.
        if task.cancelling():
            task.uncancel()
    finally:
        stream.sign_outs.unwatch(watch)
        stream.readers.close(reader)
        gone.cancel()


async def _refuse(error: RequestError, encoder: Encoder, headers: Headers, send: Send) -> None:
    own = [(b"content-type", b"application/json"), (b"retry-after", b"%d" % (error.retry_after or 1))]
    await send({"type": "http.response.start", "status": error.status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": encoder.refusal(error)})


async def _serve(reader: Reader, stream: EventStream, send: Send) -> None:
    encode = stream.encoder.entry

    async def write(deliveries: list[Delivery], last: bool = False) -> None:
        if len(deliveries) == 1 and len(deliveries[0].entries) == 1:
            body = encode(deliveries[0].entries[0])
        else:
            body = b"".join([encode(entry) for delivery in deliveries for entry in delivery.entries])
        if len(body) > WRITE_BYTES:
            body = await _write_pieces(body, reader, send)
        if body or last:
            await send({"type": "http.response.body", "body": body, "more_body": not last})

    reader.write = write
    while True:
        deliveries = await reader.read()
        if reader.left:
            return
        if stream.signed_out or (reader.ending and not deliveries):
            await send({"type": "http.response.body", "body": stream.encoder.cut(), "more_body": False})
            return
        last = any(delivery.last for delivery in deliveries)
        if deliveries:
            await write(deliveries, last)
        elif ping := stream.encoder.ping():
            await send({"type": "http.response.body", "body": ping, "more_body": True})
        if last:
            return


async def _write_pieces(body: bytes, reader: Reader, send: Send) -> bytes:
    """Writes it up to its last piece, which it returns."""
    start = 0
    while len(body) - start > WRITE_BYTES:
        piece = body[start : start + WRITE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        reader.progress()
        start += WRITE_BYTES
    return body[start:]


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
