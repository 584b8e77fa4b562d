"""Deltas and repetitions, told apart: whatever it was, nothing is said twice and nothing is lost."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.providers.cumulative_text import ENDLESS, HELD_MOST, PROOF, CumulativeText

deltas = st.lists(st.text("ab-", min_size=1, max_size=PROOF - 1), min_size=1, max_size=40)
"""Of three letters, so that many begin as the text does."""


def said(events: list[str], *, repeats: bool) -> list[str]:
    """What has been given away after each event, and after the end."""
    text, given = CumulativeText(), [""]
    for event in events:
        given.append(given[-1] + text.read(event))
    return [*given, given[-1] + text.settle(repeats=repeats)]


@given(deltas)
@example(["a", "aa", "aaaa", "aaaaaaaa", "b"])
@example(["-" * 4] * 20)
def test_deltas_are_said_as_they_are(parts: list[str]) -> None:
    *before, whole = said(parts, repeats=False)
    assert whole == "".join(parts)
    assert all(whole.startswith(beginning) for beginning in before)


@given(deltas)
@example(["-" * ENDLESS, "-", "-"])
@example(["Yes", "."])
@example(["Once upon a time, ", "there was a model. ", "The end."])
def test_what_is_repeated_is_said_once(parts: list[str]) -> None:
    wholes = list(accumulate(parts))
    for last in ([], wholes[-1:], [""]):
        *before, whole = said([*wholes, *last], repeats=True)
        assert whole == wholes[-1]
        assert all(whole.startswith(beginning) for beginning in before)


def test_a_character_that_is_cut_in_half_is_neither_lost_nor_said_twice() -> None:
    assert said(["a\ud83d", "a\U0001f600", "a\U0001f600."], repeats=True)[-1] == "a\U0001f600."
    assert said(["a\ud83d", "\ude00", "."], repeats=False)[-1] == "a\ud83d\ude00."
    assert said(["\ud83d", "\ude00", "."], repeats=False)[-1] == "\ud83d\ude00."


def test_the_first_event_is_never_held_back() -> None:
    assert CumulativeText().read("Once") == "Once"


def test_once_it_is_clear_nothing_is_held_back() -> None:
    wholes = list(accumulate(["Once upon a time, ", "there was a model. ", "It ", "said."]))
    assert said(wholes, repeats=False)[2:5] == wholes[1:]


@pytest.mark.parametrize("event", ["ha", "ha" * 7])
def test_what_proves_nothing_is_not_held_back_for_ever(event: str) -> None:
    text, given = CumulativeText(), ""
    for count in range(1, 2 * HELD_MOST // len(event)):
        given += text.read(event)
        assert len(event) * count - len(given) <= HELD_MOST
    assert text.repeats is False
    assert given == event * count


def test_what_looks_like_repetitions_is_read_so_when_too_much_is_held_back() -> None:
    text = CumulativeText()
    given = text.read("a") + text.read("aa") + "".join(text.read("aa") for _ in range(HELD_MOST // 2))
    assert (text.repeats, given) == (True, "aa")


def test_who_is_known_to_repeat_is_believed_from_the_first_event_on() -> None:
    text = CumulativeText(repeats=True)
    assert [text.read(event) for event in ("a", "aa", "a\ud83d", "aab")] == ["a", "a", "", "b"]


def test_what_has_been_repeating_may_repeat_less_but_not_say_otherwise() -> None:
    text = CumulativeText()
    for event in ("Once upon a time, ", "Once upon a time, there was a model."):
        text.read(event)
    assert text.read("Once upon") == ""
    with pytest.raises(ValueError, match="neither"):
        text.read("Twice upon a time, there was a model.")
