"""A concurrency limit: so many at one upstream at a time, the others in a bounded queue that is fair among users."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

TELL_SECONDS = 1.0
"""A place in the queue is told this often at most: a long queue moves faster than anybody reads."""


class Visitor:
    """One who has come. `admitted`: it is at the upstream, and not in the queue. `held`: it is passed over. `returns`:
    it was admitted before. `on_turn` is called when its turn has come, unless that is at once; `on_place` with its
    place, 1 for the next, when it begins to wait and when that has changed."""

    __slots__ = ("admitted", "held", "on_place", "on_turn", "place", "returns", "told_at", "user")

    def __init__(
        self, user: str, on_turn: Callable[[], None], on_place: Callable[[int], None], *, returns: bool
    ) -> None:
        self.user = user
        self.on_turn = on_turn
        self.on_place = on_place
        self.returns = returns
        self.admitted = False
        self.held = False
        self.place = 0
        self.told_at = 0.0


class Admission:
    """One provider's, of this process. The users who wait take turns, in the order in which they have come; within a
    user's requests the oldest is first. So one user with many costs another's single one a turn, and no more. Whoever
    has been admitted once, and comes again, is in front of all these.

    Times are seconds. There is no timer: places are told when somebody goes, and when `tell` is called.
    """

    def __init__(self, limit: int, places: int) -> None:
        """`limit`: at the upstream at a time; `places`: of the queue."""
        self._limit = limit
        self.places = places
        self._returning: deque[Visitor] = deque()
        self._waiting: OrderedDict[str, deque[Visitor]] = OrderedDict()
        self._held = 0
        self._told_all_at = float("-inf")
        self.running = 0
        self.waiting = 0
        self.refused = 0
        """How many have found the queue full, from the beginning on."""

    def enter(
        self,
        user: str,
        now: float,
        on_turn: Callable[[], None],
        on_place: Callable[[int], None],
        *,
        returns: bool = False,
    ) -> Visitor | None:
        """None where the queue is full; who `returns` has always a place. Whoever has entered leaves once, whether it
        was its turn or not."""
        visitor = Visitor(user, on_turn, on_place, returns=returns)
        if self.running < self._limit:  # then all who wait are held
            visitor.admitted = True
            self.running += 1
            return visitor
        if returns:
            self._returning.append(visitor)
        elif self.waiting < self.places:
            self._waiting.setdefault(user, deque()).append(visitor)
        else:
            self.refused += 1
            return None
        self.waiting += 1
        self._tell(visitor, self._place_of_newest(visitor), now)
        return visitor

    def leave(self, visitor: Visitor, now: float) -> None:
        if visitor.admitted:
            self.running -= 1
        else:
            self._take_out(visitor)
        self._fill()
        if now - self._told_all_at >= TELL_SECONDS:
            self.tell(now)

    def hold(self, visitor: Visitor) -> None:
        """While it waits, the others pass it over; it keeps its place in the order."""
        if not visitor.admitted and not visitor.held:
            visitor.held = True
            self._held += 1

    def release(self, visitor: Visitor) -> None:
        """It may have its turn again: at once, where there is room."""
        if visitor.held:
            visitor.held = False
            self._held -= 1
            self._fill()

    def tell(self, now: float) -> None:
        """Their places to those who wait, where these have changed. For whoever looks about once in TELL_SECONDS: what
        was too early to be told when somebody went would else wait for the next who goes."""
        self._told_all_at = now
        for place, visitor in enumerate(self._order(), 1):
            if visitor.place != place and now - visitor.told_at >= TELL_SECONDS:
                self._tell(visitor, place, now)

    # Internal

    def _fill(self) -> None:
        while self.waiting > self._held and self.running < self._limit:
            visitor = self._next()
            self._take_out(visitor)
            if not visitor.returns and visitor.user in self._waiting:
                self._waiting.move_to_end(visitor.user)
            self.running += 1
            visitor.admitted = True
            visitor.on_turn()

    def _next(self) -> Visitor:
        """There is one who is not held."""
        lines = chain([self._returning], self._waiting.values())
        return next(visitor for line in lines for visitor in line if not visitor.held)

    def _take_out(self, visitor: Visitor) -> None:
        if visitor.returns:
            self._returning.remove(visitor)
        else:
            theirs = self._waiting[visitor.user]
            theirs.remove(visitor)
            if not theirs:
                del self._waiting[visitor.user]
        self.waiting -= 1
        if visitor.held:
            visitor.held = False
            self._held -= 1

    def _place_of_newest(self, visitor: Visitor) -> int:
        """Before a user's n-th, each gets up to n - 1 turns, and one more who is before this user in the order."""
        place = self._ready(self._returning)
        if visitor.returns:
            return place
        rounds = self._ready(self._waiting[visitor.user]) - 1
        place += 1
        before = True
        for other, theirs in self._waiting.items():
            if other == visitor.user:
                before = False
                place += rounds
            else:
                place += min(self._ready(theirs), rounds + before)
        return place

    def _ready(self, line: Sequence[Visitor]) -> int:
        return sum(not visitor.held for visitor in line) if self._held else len(line)

    def _order(self) -> Iterator[Visitor]:
        """Those who are not held, in the order of their turns."""
        yield from (visitor for visitor in self._returning if not visitor.held)
        lines = [[visitor for visitor in theirs if not visitor.held] for theirs in self._waiting.values()]
        rounds = 0
        while lines := [line for line in lines if len(line) > rounds]:
            for line in lines:
                yield line[rounds]
            rounds += 1

    @staticmethod
    def _tell(visitor: Visitor, place: int, now: float) -> None:
        visitor.place, visitor.told_at = place, now
        visitor.on_place(place)
