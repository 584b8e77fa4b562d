"""Rate limits: sends of a user, password attempts from an address, streams of a user at once."""

from __future__ import annotations

import time
import uuid

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from chat.errors import RateLimited

TOO_MANY_SENDS = gettext_lazy("You are sending messages too quickly. Please wait a moment.")
TOO_MANY_LOGINS = gettext_lazy("Too many sign-in attempts. Please wait a moment.")


class Limits:
    """A rate is `N/s`, `N/m`, `N/h` or `N/d`; None lifts a limit. Each method raises RateLimited, or counts."""

    _WORDS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}

    def __init__(self, *, send_rate: str | None, login_rate: str | None, streams_per_user: int | None) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._send = self._item(send_rate)
        self._login = self._item(login_rate)
        self._streams = streams_per_user

    def send(self, user: uuid.UUID) -> None:
        self._count(self._send, "send", str(user), TOO_MANY_SENDS)

    def login(self, address: str) -> None:
        self._count(self._login, "login", address, TOO_MANY_LOGINS)

    def check_streams(self, user: uuid.UUID, live: int) -> None:
        """`live`: generations of this user that run now."""
        if self._streams is not None and live >= self._streams:
            raise RateLimited(_("Too many replies are running at once. Stop one or wait for it."), retry_after=5)

    def _count(self, item: RateLimitItem | None, what: str, who: str, words: Promise) -> None:
        if item is None or self._window.hit(item, what, who):
            return
        reset = self._window.get_window_stats(item, what, who).reset_time
        raise RateLimited(str(words), retry_after=max(1, int(reset - time.time()) + 1))

    def _item(self, rate: str | None) -> RateLimitItem | None:
        if rate is None:
            return None
        amount, unit = rate.split("/")
        return parse(f"{amount}/{self._WORDS[unit]}")
