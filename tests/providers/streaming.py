"""A stream that is pushed, read as one that is pulled: a test takes an event when it wants one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

from chat.events import ProviderEvent
from chat.providers.base import ChatRequest, Provider, Take


async def pulled(stream: Callable[[Take], Coroutine[Any, Any, None]]) -> AsyncGenerator[ProviderEvent, None]:
    """Each event of `stream`, then what it raises; closed early, it cancels the stream and waits for its end."""
    events: asyncio.Queue[ProviderEvent | None] = asyncio.Queue()

    def take(batch: Sequence[ProviderEvent]) -> None:
        assert batch, "never nothing"
        for event in batch:
            events.put_nowait(event)

    task = asyncio.create_task(stream(take))
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


def asked(provider: Provider, request: ChatRequest) -> AsyncGenerator[ProviderEvent, None]:
    return pulled(lambda take: provider.stream(request, take))
