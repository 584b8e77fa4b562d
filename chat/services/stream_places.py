"""How many replies of one user run at once, on all workers.

Each process counts its own by its engine, and with Redis each reply that runs has a place there. A place is a lease: it
is given back when the reply ends, however that comes, and what nobody renews is free a moment later. So none is lost
with a worker, and none by a mistake.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterable

from django.utils.translation import gettext as _

from chat.errors import RateLimited
from chat.services.limit_storage import LimitStorage, Places

RENEW_SECONDS = 5.0
"""Three times in the life of a place."""

RETRY_SECONDS = 5
"""What is told who has too many: nobody knows when a reply ends."""


class StreamPlaces:
    """`most`: of one user; None for any number. `running`: the ids of this process's replies; `live_of`: how many of
    them are a user's."""

    def __init__(
        self,
        most: int | None,
        storage: LimitStorage,
        *,
        running: Callable[[], Iterable[str]],
        live_of: Callable[[str], int],
    ) -> None:
        self._most = most
        self._storage = storage
        self._running = running
        self._live_of = live_of
        self._on_their_way: Counter[str] = Counter()
        self._held: dict[str, str] = {}
        self._renewed_at = 0.0

    @property
    def shared(self) -> bool:
        return self._most is not None and self._storage.shared

    def wanted(self, user: uuid.UUID) -> Places | None:
        """What to ask the storage for, with the rest."""
        return Places(str(user), self._most) if self._most is not None and self._storage.shared else None

    def enter(self, user: uuid.UUID, granted: bool) -> None:
        """One more is on its way to begin: counts with those that run, or many at once would all get in. `granted`:
        what the storage says. Raises RateLimited; else `leave` comes once it has begun, or will not."""
        account = str(user)
        here = self._live_of(account) + self._on_their_way[account]
        if not granted or (self._most is not None and here >= self._most):
            words = _("Too many replies are running at once. Stop one or wait for it.")
            raise RateLimited(words, {"retry_after": RETRY_SECONDS}, retry_after=RETRY_SECONDS)
        self._on_their_way[account] += 1

    def leave(self, user: uuid.UUID) -> None:
        account = str(user)
        self._on_their_way[account] -= 1
        if self._on_their_way[account] <= 0:
            del self._on_their_way[account]

    def drop(self, user: uuid.UUID, entry: str) -> None:
        """The place of one that was on its way."""
        if self.shared:
            self._storage.release(str(user), entry)

    def began(self, account: str, generation: str) -> None:
        """A reply runs here, begun here or taken over."""
        if self.shared:
            self._held[generation] = account
            self._storage.hold(account, generation)

    def ended(self, account: str, generation: str) -> None:
        if self._held.pop(generation, None) is not None:
            self._storage.release(account, generation)

    def lost(self, account: str, generation: str) -> None:
        """A dead worker's, which has been ended here: its place need not wait for its time."""
        if self.shared:
            self._storage.release(account, generation)

    def look(self) -> None:
        """About four times a second: keeps the places of what runs, and of nothing else."""
        now = asyncio.get_running_loop().time()
        if not self.shared or now - self._renewed_at < RENEW_SECONDS:
            return
        self._renewed_at = now
        running = set(self._running())
        self._held = {generation: account for generation, account in self._held.items() if generation in running}
        if self._held:
            self._storage.renew(self._held)
