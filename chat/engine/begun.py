"""A coroutine's first step without a task: most writes are over with it, and need none."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any


class Begun:
    """A coroutine that has suspended in its first step; whoever awaits this takes it to its end."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = coroutine
        self._waits_for = waits_for

    @classmethod
    def step(cls, coroutine: Coroutine[Any, Any, None]) -> Begun | None:
        """Runs it until it suspends; None when it came to its end at once. Raises what it raises. In this step there
        is no current task: what the coroutine awaits must be a future."""
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return None
        return cls(coroutine, waits_for)

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, self._coroutine = self._coroutine, None
        assert coroutine is not None, "awaited once"
        waits_for = self._waits_for
        while True:
            try:
                try:
                    # The future that the first step met has not been waited for by anybody yet: the task does it now.
                    value = yield waits_for
                except BaseException as error:  # whatever is thrown in belongs to the coroutine
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(value)
            except StopIteration:
                return

    def close(self) -> None:
        """Gives it up."""
        if self._coroutine is not None:
            self._coroutine.close()
