"""A call that an event loop hands to a thread, and what comes of it on its way back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from django.utils.translation import gettext as _

from chat.errors import Unavailable


class Call:
    """Made in the loop, run in the thread. Whoever awaits `future` gets what `deliver` brings: `result` or `error`."""

    __slots__ = ("args", "error", "function", "future", "loop", "result")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> None:
        self.function = function
        self.args = args
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


def check_room(waiting: int, most: float) -> None:
    """Raises Unavailable where as many wait as may."""
    if waiting >= most:
        raise Unavailable(_("The server is too busy. Please try again in a moment."), retry_after=2)


def deliver(calls: Iterable[Call]) -> None:
    """From the thread: one hop to each event loop for all of them."""
    loops: dict[asyncio.AbstractEventLoop, list[Call]] = {}
    for call in calls:
        loops.setdefault(call.loop, []).append(call)
    for loop, its_calls in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, its_calls)


def _settle(calls: list[Call]) -> None:
    for call in calls:
        if call.future.done():
            continue
        if isinstance(call.error, StopIteration):
            call.future.set_exception(RuntimeError("StopIteration"))  # which a future does not take
        elif call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)
