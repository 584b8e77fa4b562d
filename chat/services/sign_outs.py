"""Open streams end with the sign-in that they rest on: at once where its end is announced, and at its known expiry.

An announcement names an account, to every process of the site; each then looks up what that account's open streams rest
on, and ends those that rest on nothing any more. What nobody announces, such as a command in a process of its own, is
found by looking at all of them once in a while. An access token that expires ends nothing: its family stands.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from math import inf
from typing import Any

from chat.services.identity import Identities, Identity
from chat.services.owned_tasks import OwnedTasks
from chat.services.process_channel import ProcessChannel
from chat.services.sign_out_signals import SignOutSignals

logger = logging.getLogger(__name__)

GROUP = "sign-outs"
"""One for all accounts: they are rare, and a stream that starts must not have to join a group of its user's."""

USERS_AT_ONCE = 500
"""In one message to the other processes."""

SIGN_INS_AT_ONCE = 100
"""Looked up in one read: some milliseconds of a reading thread."""

LATELY_SECONDS = 30.0
"""A stream whose sign-in ended between its request's authentication and its own start is looked up as it starts."""
LATELY_USERS = 10_000
"""The latest of them."""

TIMER_SECONDS = 3600.0
"""The longest that is waited by the clock of the event loop for a moment of the calendar: the two may drift apart."""


class Watch:
    """One open stream. `ended` is called once, in the event loop, when its sign-in has ended; it must not wait."""

    __slots__ = ("ended", "expires", "identity")

    def __init__(self, identity: Identity, ended: Callable[[], None]) -> None:
        self.ended = ended
        self.is_now(identity)

    def is_now(self, identity: Identity) -> None:
        self.identity = identity
        self.expires = inf if identity.expires_at is None else identity.expires_at.timestamp()


class SignOuts:
    """`open` in the event loop, `close` at the end; `look` is to be repeated."""

    def __init__(self, identities: Identities, channel: ProcessChannel, tasks: OwnedTasks) -> None:
        self._identities = identities
        self._channel = channel
        self._tasks = tasks
        self._process = secrets.token_hex(8)
        self._watches: dict[uuid.UUID, set[Watch]] = {}
        self._announced: set[uuid.UUID] = set()
        self._lately: dict[uuid.UUID, float] = {}
        self._due = inf
        self._timer: asyncio.TimerHandle | None = None
        self._signals: SignOutSignals | None = None
        self._troubled = False

    def open(self) -> None:
        self._signals = SignOutSignals(asyncio.get_running_loop(), self.announce)
        self._channel.join(GROUP, self._told)

    def close(self) -> None:
        if self._signals is not None:
            self._signals.close()
        self._channel.leave(GROUP)
        if self._timer is not None:
            self._timer.cancel()

    def watch(self, identity: Identity, ended: Callable[[], None]) -> Watch:
        """From now on, until `unwatch`. Reads nothing."""
        watch = Watch(identity, ended)
        self._watches.setdefault(identity.user, set()).add(watch)
        if watch.expires < self._due:
            self._wake_at(watch.expires)
        if identity.user in self._lately:
            self._tasks.start(self._check([watch]))
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Idempotent."""
        watches = self._watches.get(watch.identity.user)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._watches[watch.identity.user]

    def announce(self, user: uuid.UUID) -> None:
        """Something that a sign-in of this account may rest on has ended, and the database says so. For code in the
        event loop; waits for nothing, and never fails."""
        if not self._announced:
            self._tasks.start(self._announce())
        self._announced.add(user)

    async def look(self) -> None:
        """At all that are watched."""
        now = asyncio.get_running_loop().time()
        self._lately = {user: since for user, since in self._lately.items() if now - since < LATELY_SECONDS}
        await self._check(chain.from_iterable(self._watches.values()))

    # Announcements

    async def _announce(self) -> None:
        users, self._announced = self._announced, set()
        await self._check_users(users)
        names = [user.hex for user in users]
        for start in range(0, len(names), USERS_AT_ONCE):
            message = {"from": self._process, "users": names[start : start + USERS_AT_ONCE]}
            await self._channel.send(GROUP, message)

    def _told(self, message: dict[str, Any]) -> None:
        if message["from"] != self._process:
            self._tasks.start(self._check_users({uuid.UUID(user) for user in message["users"]}))

    async def _check_users(self, users: set[uuid.UUID]) -> None:
        self._lately |= dict.fromkeys(users, asyncio.get_running_loop().time())
        while len(self._lately) > LATELY_USERS:
            del self._lately[next(iter(self._lately))]
        await self._check(chain.from_iterable(self._watches.get(user, ()) for user in users))

    # Expiry

    def _wake_at(self, due: float) -> None:
        """`due`: seconds since 1970."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        seconds = min(max(0.0, due - time.time()), TIMER_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        now = time.time()
        watches = list(chain.from_iterable(self._watches.values()))
        self._timer, self._due = None, inf
        next_due = min((watch.expires for watch in watches if watch.expires > now), default=inf)
        if next_due < inf:
            self._wake_at(next_due)
        self._tasks.start(self._check([watch for watch in watches if watch.expires <= now]))

    # Looking up

    async def _check(self, watches: Iterable[Watch]) -> None:
        """Never fails: nobody is signed out by a database that is away; the next look asks again."""
        by_sign_in: dict[tuple[uuid.UUID, Any], list[Watch]] = {}
        for watch in watches:
            by_sign_in.setdefault((watch.identity.user, watch.identity.credential), []).append(watch)
        try:
            groups = list(by_sign_in.values())
            for start in range(0, len(groups), SIGN_INS_AT_ONCE):
                some = groups[start : start + SIGN_INS_AT_ONCE]
                found = await self._identities.standing([group[0].identity for group in some])
                for identity, resting in zip(found, some, strict=True):
                    self._settle(identity, resting)
            self._troubled = False
        except Exception as error:
            if not self._troubled:
                logger.warning("sign-ins cannot be looked up: %s", type(error).__name__)
            self._troubled = True

    def _settle(self, identity: Identity | None, resting: list[Watch]) -> None:
        """`resting` on one sign-in, of which `identity` is left."""
        for watch in resting:
            if identity is not None:
                watch.is_now(identity)
                if watch.expires < self._due and self._is_watched(watch):
                    self._wake_at(watch.expires)
            elif self._is_watched(watch):
                self.unwatch(watch)
                with suppress(Exception):
                    watch.ended()

    def _is_watched(self, watch: Watch) -> bool:
        return watch in self._watches.get(watch.identity.user, ())
