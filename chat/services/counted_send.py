"""A send that the limits count, until it is known what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chat.services.author import Author
from chat.services.limit_storage import LimitStorage
from chat.services.memory_limits import MemoryLimits
from chat.services.rates import Count, Window, counted, tightest
from chat.services.stream_places import StreamPlaces


class CountedSend:
    """`returns` counts the refused ones that were given back. One of `started`, `known` and `refused` comes, once."""

    __slots__ = (
        "_has_entered",
        "_is_returned",
        "_places",
        "_returns",
        "_storage",
        "author",
        "counts",
        "entry",
        "windows",
    )

    def __init__(
        self,
        entry: str,
        author: Author,
        windows: Sequence[Window],
        storage: LimitStorage,
        places: StreamPlaces,
        returns: MemoryLimits,
    ) -> None:
        self.entry = entry
        self.author = author
        self.windows = windows
        self.counts: list[Count] = []
        """One for each window, once it was counted."""
        self._storage = storage
        self._places = places
        self._returns = returns
        self._has_entered = False

    def enter(self, granted: bool) -> None:
        """See StreamPlaces."""
        self._places.enter(self.author.user, granted)
        self._has_entered = True

    def tell(self) -> None:
        """What the answer's headers say, in the context of the request."""
        counted.set(tightest(self.counts))

    def started(self) -> None:
        """Its reply runs, and has a place of its own."""
        self._leave()

    def known(self) -> None:
        """What it asks for was begun before: it counts for nothing, however often it comes."""
        self._leave()
        self._give_back()

    def refused(self) -> None:
        """Nothing begins. Given back as often as the rate allows; then it has used one up."""
        self._leave()
        first = next((window for window, count in zip(self.windows, self.counts, strict=False) if count.taken), None)
        # Without counts nobody knows whether it was counted: who asked has gone meanwhile.
        if not self.counts or (first is not None and self._returns.count(self.entry, first).taken):
            self._give_back()

    def _leave(self) -> None:
        self._places.drop(self.author.user, self.entry)
        if self._has_entered:
            self._has_entered = False
            self._places.leave(self.author.user)

    def _give_back(self) -> None:
        self._storage.give_back(self.entry, self.windows)
        self.counts = [replace(count, remaining=count.remaining + 1) if count.taken else count for count in self.counts]
