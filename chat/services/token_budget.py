"""The tokens of a user's day, which is UTC's: what was sent upstream and what came back, of all replies that ended.

The database has them, so that a restart forgets none and every worker finds the others' too. A process looks again when
a reply of the user has ended here, and else after LOOK_SECONDS: by so much may several workers be late.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import F, Q, Sum
from django.utils.translation import gettext_lazy

from chat.errors import RateLimited
from chat.models import Generation
from chat.services.database import Database
from chat.services.rates import Count, counted

LOOK_SECONDS = 10.0
"""How long what was found is believed."""

LONGEST = timedelta(days=1)
"""No reply lasts longer: one that ended today has begun since yesterday, which an index tells."""

TOO_MANY_TOKENS = gettext_lazy("You have used up your tokens for today. They are there again at midnight UTC.")


@dataclass(slots=True)
class _Spent:
    day: datetime
    tokens: int = 0
    looked_at: float = -LOOK_SECONDS
    endings: int = 0


class TokenBudget:
    """`tokens`: of one user a day, None for any number. `remembered`: users at most."""

    def __init__(
        self,
        tokens: int | None,
        database: Database,
        remembered: int | None,
        *,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = tokens
        self._database = database
        self._remembered = remembered
        self._today = today
        self._spent: OrderedDict[uuid.UUID, _Spent] = OrderedDict()

    @property
    def is_limited(self) -> bool:
        return self._tokens is not None

    async def check(self, user: uuid.UUID) -> None:
        """Raises RateLimited when the day's tokens are used up. A reply that runs may go over: nobody knows before."""
        if self._tokens is None:
            return
        now = self._today()
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if await self._spent_on(user, day) >= self._tokens:
            count = Count(False, self._tokens, 0, (day + timedelta(days=1) - now).total_seconds())
            counted.set(count)
            raise RateLimited(str(TOO_MANY_TOKENS), {"retry_after": count.seconds}, retry_after=count.seconds)

    def ended(self, account: str) -> None:
        """A reply of this user has ended here."""
        spent = self._spent.get(uuid.UUID(account))
        if spent is not None:
            spent.looked_at = -LOOK_SECONDS
            spent.endings += 1

    async def _spent_on(self, user: uuid.UUID, day: datetime) -> int:
        spent = self._spent.get(user)
        if spent is None or spent.day != day:
            spent = self._spent[user] = _Spent(day)
            if self._remembered is not None and len(self._spent) > self._remembered:
                self._spent.popitem(last=False)
        now, endings = time.monotonic(), spent.endings
        if now - spent.looked_at >= LOOK_SECONDS:
            found = await self._database.read(_spent_since, user, day)
            spent.tokens = max(spent.tokens, found)  # whoever deletes a conversation has spent its tokens all the same
            if spent.endings == endings:
                spent.looked_at = now
        return spent.tokens


def _spent_since(user: uuid.UUID, day: datetime) -> int:
    """What nobody answered was sent to nobody, where its tokens are an estimate."""
    ended = Generation.objects.filter(user_id=user, created_at__gte=day - LONGEST, finished_at__gte=day)
    taken = ended.filter(Q(usage_estimated=False) | Q(first_token_ms__isnull=False))
    total = taken.aggregate(total=Sum(F("input_tokens") + F("output_tokens")))["total"]
    return total or 0
