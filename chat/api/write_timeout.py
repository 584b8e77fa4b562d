"""Answers that do not fit in a connection's buffer: who takes nothing of one for CHAT_STALL_SECONDS is dropped.

So are readers of event streams; these are readers too, who follow nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import cast

from django.db import DatabaseError
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from chat.engine.readers import Readers
from chat.errors import RequestError
from chat.sse.stream import WRITE_BYTES, Headers, Receive, Send

logger = logging.getLogger(__name__)


def fits(response: HttpResponseBase) -> bool:
    """Whether its client is never waited for."""
    return isinstance(response, HttpResponse) and len(response.content) <= WRITE_BYTES


async def send_in_time(response: HttpResponseBase, readers: Readers, receive: Receive, send: Send) -> None:
    """Until all of it is sent, the client has gone, or it has taken nothing for too long: then, and where the worker
    is going or cannot make the rest, it stays unfinished, which the client sees."""
    task = asyncio.current_task()
    assert task is not None
    reader = readers.open(lambda: _cancel(task), "http")
    gone = asyncio.create_task(_gone(receive))
    gone.add_done_callback(lambda _: reader.leave())
    try:
        await send({"type": "http.response.start", "status": response.status_code, "headers": _headers(response)})
        async with aclosing(_pieces(response)) as pieces:
            async for piece in pieces:
                if reader.left or reader.ending:
                    return
                reader.progress()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                reader.writing_since = None  # what is made next may take its time
        await send({"type": "http.response.body", "body": b""})
    except (RequestError, DatabaseError) as error:
        logger.error("an answer breaks off", exc_info=error)
    except asyncio.CancelledError:
        if task.cancelling():
            task.uncancel()
    finally:
        readers.close(reader)
        gone.cancel()
        response.close()


async def _pieces(response: HttpResponseBase) -> AsyncGenerator[bytes, None]:
    if isinstance(response, StreamingHttpResponse):
        async with aclosing(cast(AsyncGenerator[bytes, None], aiter(response))) as parts:
            async for part in parts:
                for piece in _cut(part):
                    yield piece
    else:
        assert isinstance(response, HttpResponse)
        for piece in _cut(response.content):
            yield piece


def _cut(part: bytes) -> Iterable[bytes]:
    return (part[start : start + WRITE_BYTES] for start in range(0, len(part), WRITE_BYTES))


def _headers(response: HttpResponseBase) -> Headers:
    return [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
