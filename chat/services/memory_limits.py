"""Counting in this process's memory. Of the replies that run it counts none: the engine knows those of the process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chat.services.limit_storage import LimitStorage, Places, Taken
from chat.services.rates import Count, Window

TIDIED = 2
"""Windows that are looked at for each new one: those that hold nothing any more go faster than others come."""


class _Held(NamedTuple):
    """`entries`: when, and what, oldest first; never more than the rate allows."""

    seconds: int
    entries: list[tuple[float, str]]

    def forget_until(self, now: float) -> None:
        entries, over = self.entries, 0
        while over < len(entries) and entries[over][0] <= now - self.seconds:
            over += 1
        del entries[:over]


class MemoryLimits(LimitStorage):
    """`remembered`: windows at most; of more, the ones that were used longest ago are forgotten."""

    def __init__(self, remembered: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._remembered = remembered
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], _Held] = OrderedDict()

    async def take(self, entry: str, windows: Sequence[Window], places: Places | None = None) -> Taken:
        return Taken([self.count(entry, window) for window in windows], True)

    def count(self, entry: str, window: Window) -> Count:
        now, (amount, seconds) = self._clock(), window.rate
        held = self._held(window, now)
        held.forget_until(now)
        entries = held.entries
        taken = len(entries) < amount
        if taken:
            entries.append((now, entry))
        oldest = entries[0][0] if entries else now
        return Count(taken, amount, max(0, amount - len(entries)), oldest + seconds - now)

    def give_back(self, entry: str, windows: Sequence[Window]) -> None:
        for window in windows:
            held = self._windows.get((window.name, window.owner))
            if held is None:
                continue
            for index in range(len(held.entries) - 1, -1, -1):  # it was among the last
                if held.entries[index][1] == entry:
                    del held.entries[index]
                    break

    def _held(self, window: Window, now: float) -> _Held:
        key = (window.name, window.owner)
        held = self._windows.get(key)
        if held is not None:
            self._windows.move_to_end(key)
            return held
        self._tidy(now)
        held = self._windows[key] = _Held(window.rate.seconds, [])
        if self._remembered is not None and len(self._windows) > self._remembered:
            self._windows.popitem(last=False)
        return held

    def _tidy(self, now: float) -> None:
        """Of those that were used longest ago."""
        for _ in range(min(TIDIED, len(self._windows))):
            key, held = next(iter(self._windows.items()))
            held.forget_until(now)
            if held.entries:
                return
            del self._windows[key]
