"""Where is counted what the limits are about: for one process, or for all workers together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chat.services.rates import Count, Window


class Places(NamedTuple):
    """Room for `most` replies of a user at once."""

    user: str
    most: int


class Taken(NamedTuple):
    """One count for each window; `place`: whether there was one, where one was wanted."""

    counts: list[Count]
    place: bool


class LimitStorage(ABC):
    """`entry` names one request, and is never used again. Nothing here raises where the storage is away."""

    shared = False
    """Whether other workers count here too."""

    async def open(self) -> None:
        """Before use; `aclose` at the end."""

    @abstractmethod
    async def take(self, entry: str, windows: Sequence[Window], places: Places | None = None) -> Taken:
        """Counts the entry in each window that has room for it, and gives it one of the places, if there is one."""

    @abstractmethod
    def give_back(self, entry: str, windows: Sequence[Window]) -> None:
        """It counts no longer. Does not wait."""

    def hold(self, user: str, generation: str) -> None:
        """A place for a reply that runs, whether there is one or not. Does not wait."""

    def release(self, user: str, member: str) -> None:
        """Of an entry, or a generation: its place is free. Does not wait."""

    def renew(self, generations: Mapping[str, str]) -> None:
        """These run here, each of whose user: what is not renewed for a while has lost its place."""

    def look(self) -> None:
        """About four times a second."""

    async def aclose(self) -> None:
        """Nothing is counted any more."""
