"""The concurrency limit by itself: who is let in, in which order, and what is told of the queue."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from chat.providers.resilience.admission import TELL_SECONDS, Admission, Visitor


@dataclass
class Hall:
    """An admission, and in which order whoever has come got their turn."""

    admission: Admission
    turns: list[str] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)

    def come(self, name: str, now: float = 0.0, *, returns: bool = False) -> Visitor | None:
        """`name`: the user's, and a number of theirs."""
        told = self.places.setdefault(name, [])
        user = name.rstrip("0123456789")
        visitor = self.admission.enter(user, now, lambda: self.turns.append(name), told.append, returns=returns)
        if visitor is not None and visitor.admitted:
            self.turns.append(name)
        return visitor

    def sure(self, name: str, now: float = 0.0, *, returns: bool = False) -> Visitor:
        visitor = self.come(name, now, returns=returns)
        assert visitor is not None
        return visitor


def hall(limit: int = 1, places: int = 100) -> Hall:
    return Hall(Admission(limit, places))


def drain(hall: Hall, visitors: dict[str, Visitor]) -> list[str]:
    """Each goes once it has had its turn, one after the other."""
    done = 0
    while done < len(hall.turns):
        name = hall.turns[done]
        done += 1
        hall.admission.leave(visitors[name], 0.0)
    return hall.turns


def test_up_to_the_limit_nobody_waits() -> None:
    one = hall(limit=2)
    assert one.sure("a").admitted
    assert one.sure("b").admitted
    assert not one.sure("c").admitted
    assert (one.admission.running, one.admission.waiting) == (2, 1)


def test_one_user_with_many_keeps_another_back_for_one_turn_at_most() -> None:
    one = hall()
    visitors = {"a0": one.sure("a0")}
    visitors |= {f"a{n}": one.sure(f"a{n}") for n in range(1, 51)}
    visitors["b1"] = one.sure("b1")
    assert one.places["b1"] == [2]
    order = drain(one, visitors)
    assert order[:3] == ["a0", "a1", "b1"]
    assert order[3:] == [f"a{n}" for n in range(2, 51)]
    assert (one.admission.running, one.admission.waiting) == (0, 0)


def test_users_take_turns_and_each_ones_oldest_is_first() -> None:
    one = hall()
    names = ["x0", "a1", "a2", "a3", "b1", "b2", "c1"]
    visitors = {name: one.sure(name) for name in names}
    assert drain(one, visitors) == ["x0", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_first_place_that_is_told_is_the_turn_that_comes() -> None:
    chance = random.Random(7)
    for _ in range(200):
        one = hall()
        visitors = {"z0": one.sure("z0")}
        for number in range(chance.randrange(1, 12)):
            name = f"{chance.choice('abc')}{number}"
            visitors[name] = one.sure(name)
            newest = {name: one.places[name][-1]}
        order = drain(one, visitors)
        for name, place in newest.items():
            assert order.index(name) == place


def test_a_full_queue_refuses_and_counts_it() -> None:
    one = hall(places=1)
    one.sure("a")
    waiting = one.sure("b")
    assert one.come("c") is None
    assert one.admission.refused == 1
    one.admission.leave(waiting, 0.0)
    assert not one.sure("c").admitted, "the place is free again"


def test_without_places_nobody_waits() -> None:
    one = hall(places=0)
    running = one.sure("a")
    assert one.come("b") is None
    one.admission.leave(running, 0.0)
    assert one.sure("b").admitted


def test_who_gives_up_leaves_its_place_to_the_next() -> None:
    one = hall()
    visitors = {name: one.sure(name) for name in ("a0", "b1", "b2", "c1")}
    one.admission.leave(visitors.pop("b1"), 0.0)
    one.admission.leave(visitors.pop("c1"), 0.0)
    assert one.admission.waiting == 1
    assert drain(one, visitors) == ["a0", "b2"]
    assert (one.admission.running, one.admission.waiting) == (0, 0)


def test_places_are_told_when_they_change_and_about_once_a_second() -> None:
    one = hall()
    first, second = one.sure("a0"), one.sure("b1")
    one.sure("c1")
    one.sure("d1")
    assert [one.places[name] for name in ("a0", "b1", "c1", "d1")] == [[], [1], [2], [3]]
    one.admission.leave(first, 0.5)
    assert one.places["d1"] == [3], "it was told a moment ago"
    one.admission.leave(second, 0.5 + TELL_SECONDS)
    assert one.turns == ["a0", "b1", "c1"]
    assert one.places["d1"] == [3, 1], "what has changed meanwhile comes with the next that goes"
    one.sure("e1", 2.0)
    assert one.places["e1"] == [2]


def test_a_place_that_stays_the_same_is_not_told_again() -> None:
    one = hall()
    one.sure("a0")
    one.sure("b1")
    last = one.sure("c1")
    one.admission.leave(last, 10.0)
    assert one.places["b1"] == [1]


def test_what_was_too_early_to_be_told_is_told_by_whoever_looks_once_a_second() -> None:
    one = hall()
    one.sure("a0")
    second = one.sure("b1")
    one.sure("c1")
    one.admission.leave(second, 0.5)
    assert one.places["c1"] == [2]
    one.admission.tell(0.5 + TELL_SECONDS)
    assert one.places["c1"] == [2, 1]
    one.admission.tell(0.5 + 2 * TELL_SECONDS)
    assert one.places["c1"] == [2, 1], "once"


# Who comes again


def test_who_was_admitted_before_is_in_front_of_all_others_and_always_has_a_place() -> None:
    one = hall(places=2)
    visitors = {name: one.sure(name) for name in ("a0", "b1", "c1")}
    assert one.come("d1") is None
    visitors |= {name: one.sure(name, returns=True) for name in ("d2", "b2")}
    assert (one.places["d2"], one.places["b2"]) == ([1], [2])
    assert one.admission.refused == 1
    one.admission.tell(TELL_SECONDS)
    assert (one.places["b1"], one.places["c1"]) == ([1, 3], [2, 4])
    assert drain(one, visitors) == ["a0", "d2", "b2", "b1", "c1"]
    assert (one.admission.running, one.admission.waiting) == (0, 0)


def test_who_comes_again_and_gives_up_leaves_its_place() -> None:
    one = hall()
    visitors = {"a0": one.sure("a0"), "b1": one.sure("b1", returns=True), "c1": one.sure("c1")}
    one.admission.leave(visitors.pop("b1"), 0.0)
    assert drain(one, visitors) == ["a0", "c1"]


# Who is passed over


def test_who_is_held_is_passed_over_and_keeps_its_place_in_the_order() -> None:
    one = hall()
    visitors = {name: one.sure(name) for name in ("a0", "b1", "b2", "c1", "d1")}
    one.admission.hold(visitors["b1"])
    one.admission.hold(visitors["b2"])
    one.admission.tell(TELL_SECONDS)
    assert (one.places["b1"], one.places["c1"], one.places["d1"]) == ([1], [2, 1], [3, 2])
    one.sure("e1")
    assert one.places["e1"] == [3]
    one.admission.leave(visitors["a0"], 0.0)
    assert one.turns == ["a0", "c1"]
    one.admission.release(visitors["b1"])
    one.admission.leave(visitors["c1"], 0.0)
    assert one.turns == ["a0", "c1", "b1"]


def test_where_all_are_held_nobody_is_kept_out() -> None:
    one = hall()
    first, held, again = one.sure("a0"), one.sure("b1"), one.sure("c1", returns=True)
    one.admission.hold(held)
    one.admission.hold(again)
    one.admission.leave(first, 0.0)
    assert (one.admission.running, one.admission.waiting) == (0, 2)
    newcomer = one.sure("d1")
    assert newcomer.admitted
    one.admission.release(held)
    one.admission.release(again)
    assert one.turns == ["a0", "d1"]
    one.admission.leave(newcomer, 0.0)
    one.admission.leave(again, 0.0)
    assert one.turns == ["a0", "d1", "c1", "b1"]


def test_a_slot_is_never_free_while_somebody_could_have_it() -> None:
    chance = random.Random(11)
    for _ in range(100):
        one = hall(limit=2, places=6)
        here: dict[str, Visitor] = {}
        for number in range(60):
            move = chance.choice(["come", "come", "leave", "hold", "release"])
            name = f"{chance.choice('abc')}{number}"
            if move == "come":
                visitor = one.come(name, returns=chance.random() < 0.2)
                here |= {name: visitor} if visitor is not None else {}
            elif here:
                known = chance.choice(list(here))
                if move == "leave":
                    one.admission.leave(here.pop(known), 0.0)
                else:
                    (one.admission.hold if move == "hold" else one.admission.release)(here[known])
            waiting = [visitor for visitor in here.values() if not visitor.admitted]
            assert one.admission.waiting == len(waiting)
            assert one.admission.running == len(here) - len(waiting) <= 2
            assert one.admission.running == 2 or all(visitor.held for visitor in waiting)
