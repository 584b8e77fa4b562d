"""What one may do how often: sends of a user, of an API key and of an address, password attempts from an address and
for an account, replies of a user at once, and tokens of a user's day.

A send is counted before it is looked at, so that many at once do not all get in, and given back when nothing begins.
Refused ones are given back only as often as the rate allows: a flood of them is a flood.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from chat.errors import RateLimited, Unauthenticated
from chat.events import StartData
from chat.observation import NO_RUN, Ended, Lost, Observer, Run
from chat.services.author import Author
from chat.services.counted_send import CountedSend
from chat.services.limit_storage import LimitStorage
from chat.services.memory_limits import MemoryLimits
from chat.services.rates import Count, Rate, Window, counted, parse_rate, tightest
from chat.services.stream_places import StreamPlaces
from chat.services.token_budget import TokenBudget

LOOK_SECONDS = 0.25
"""Between two looks after the way to Redis."""

TOO_MANY_SENDS = gettext_lazy("You are sending messages too quickly. Please wait a moment.")
TOO_MANY_LOGINS = gettext_lazy("Too many sign-in attempts. Please wait a moment.")


@dataclass(frozen=True, slots=True)
class LimitRates:
    """Each as `N/s`, `N/m`, `N/h` or `N/d`; None lifts it. `account_login`: wrong passwords for one account."""

    send: str | None = None
    key_send: str | None = None
    address_send: str | None = None
    login: str | None = None
    account_login: str | None = None


class Limits:
    """`returns` counts what this process has given back of refused sends."""

    def __init__(
        self, rates: LimitRates, storage: LimitStorage, places: StreamPlaces, budget: TokenBudget, returns: MemoryLimits
    ) -> None:
        self._send = parse_rate(rates.send)
        self._key_send = parse_rate(rates.key_send)
        self._address_send = parse_rate(rates.address_send)
        self._login = parse_rate(rates.login)
        self._account_login = parse_rate(rates.account_login)
        self._storage = storage
        self._places = places
        self._budget = budget
        self._returns = returns
        self._process = secrets.token_hex(8)
        self._entries = itertools.count()
        self.observer: Observer = _Replies(places, budget)
        """To be told of the replies that run here."""

    async def open(self) -> None:
        await self._storage.open()

    async def look(self) -> None:
        """Each LOOK_SECONDS."""
        self._storage.look()
        self._places.look()

    async def aclose(self) -> None:
        await self._storage.aclose()

    def send(self, author: Author) -> CountedSend:
        """One that is not counted yet."""
        return CountedSend(self._entry(), author, self._windows(author), self._storage, self._places, self._returns)

    async def admit(self, send: CountedSend) -> None:
        """Counts it, and has a place for its reply. Raises RateLimited."""
        await self._budget.check(send.author.user)
        taken = await self._storage.take(send.entry, send.windows, self._places.wanted(send.author.user))
        send.counts = taken.counts
        _check(taken.counts, TOO_MANY_SENDS)
        send.enter(taken.place)

    @asynccontextmanager
    async def login(self, address: str, account: str) -> AsyncIterator[None]:
        """An attempt with a password, which is made within. Raises RateLimited. Of an account, wrong ones count."""
        of_address = _window("login", address, self._login)
        of_account = _window("login", _name(account), self._account_login)
        entry = self._entry()
        taken = await self._storage.take(entry, [*of_address, *of_account])
        counted.set(tightest(taken.counts[: len(of_address)]))
        try:
            _check(taken.counts, TOO_MANY_LOGINS)
            yield
        except Unauthenticated:
            raise
        except BaseException:
            self._storage.give_back(entry, of_account)
            raise
        self._storage.give_back(entry, of_account)

    def _windows(self, author: Author) -> list[Window]:
        windows = [*_window("send", str(author.user), self._send)]
        if author.key is not None:
            windows += _window("send", str(author.key), self._key_send)
        if author.address:
            windows += _window("send", author.address, self._address_send)
        return windows

    def _entry(self) -> str:
        return f"{self._process}-{next(self._entries)}"


def _window(name: str, owner: str, rate: Rate | None) -> list[Window]:
    """None where nothing is limited."""
    return [] if rate is None else [Window(name, owner, rate)]


def _check(counts: Sequence[Count], words: Promise) -> None:
    full = tightest(count for count in counts if not count.taken)
    if full is not None:
        counted.set(full)
        raise RateLimited(str(words), {"retry_after": full.seconds}, retry_after=full.seconds)


def _name(account: str) -> str:
    """However it is written, and short; it stands in Redis."""
    return hashlib.sha256(account.strip().casefold().encode(errors="replace")).hexdigest()[:32]


class _Replies(Observer):
    def __init__(self, places: StreamPlaces, budget: TokenBudget) -> None:
        self._places = places
        self._budget = budget

    def started(self, start: StartData, account: str) -> Run:
        if not self._places.shared and not self._budget.is_limited:
            return NO_RUN
        self._places.began(account, start.generation)
        return _Reply(self._places, self._budget, account, start.generation)

    def lost(self, lost: Lost) -> None:
        self._places.lost(lost.account, lost.generation)


class _Reply(Run):
    __slots__ = ("_account", "_budget", "_generation", "_places")

    def __init__(self, places: StreamPlaces, budget: TokenBudget, account: str, generation: str) -> None:
        self._places = places
        self._budget = budget
        self._account = account
        self._generation = generation

    def ended(self, ended: Ended) -> None:
        self._places.ended(self._account, self._generation)
        self._budget.ended(self._account)
