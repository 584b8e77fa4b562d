"""What fits into a model's context: the estimate of tokens, and which turns are left out."""

from __future__ import annotations

import pytest

from chat.providers.base import Counted, Params, Picture, Turn
from chat.providers.resilience.context_window import ANSWER_MOST, PICTURE_TOKENS, TURN_TOKENS, fit, tokens_of

SYSTEM = Turn("system", "s" * 400)
"""A hundred tokens and its mark, as is each turn below."""
HUNDRED = 100 + TURN_TOKENS
NO_ANSWER = Params(max_tokens=0)


def conversation(pairs: int) -> tuple[Turn, ...]:
    """So many questions with their answers, and a last question."""
    turns: list[Turn] = []
    for number in range(pairs):
        turns += [Turn("user", str(number % 10) * 400), Turn("assistant", "a" * 400)]
    return (*turns, Turn("user", "q" * 400))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a" * 400, 100), ("汉" * 150, 100), ("ab" * 100 + "汉字" * 75, 150), ("\ud83d" * 3, 2)],
)
def test_tokens_are_estimated_by_the_kind_of_characters(text: str, tokens: int) -> None:
    assert tokens_of(Turn("user", text)) == pytest.approx(tokens + TURN_TOKENS)


@pytest.mark.parametrize(("text", "least", "most"), [("é" * 100, 25, 67), ("я" * 100, 25, 67), ("🙂" * 100, 67, 100)])
def test_other_letters_are_between_the_two(text: str, least: int, most: int) -> None:
    assert least <= tokens_of(Turn("user", text)) - TURN_TOKENS <= most


def test_a_picture_is_a_thousand_tokens() -> None:
    picture = Picture("image/png", b"x")
    assert tokens_of(Turn("user", "", (picture, picture))) == 2 * PICTURE_TOKENS + TURN_TOKENS


def test_without_a_context_everything_is_sent() -> None:
    turns = conversation(500)
    assert fit(turns, None, Params()).turns == turns


def test_what_fits_is_left_alone() -> None:
    turns = (SYSTEM, *conversation(2))
    fitted = fit(turns, 6 * HUNDRED, NO_ANSWER)
    assert (fitted.turns, fitted.left_out) == (turns, 0)


def test_the_oldest_questions_go_first_with_their_answers() -> None:
    turns = (SYSTEM, *conversation(3))
    fitted = fit(turns, 8 * HUNDRED - 1, NO_ANSWER)
    assert (fitted.turns, fitted.left_out) == ((SYSTEM, *turns[3:]), 2)
    fitted = fit(turns, 4 * HUNDRED, NO_ANSWER)
    assert (fitted.turns, fitted.left_out) == ((SYSTEM, *turns[5:]), 4)
    fitted = fit(turns, 4 * HUNDRED - 1, NO_ANSWER)
    assert (fitted.turns, fitted.left_out) == ((SYSTEM, turns[-1]), 6)


def test_the_system_prompt_and_the_last_question_stay_however_long_they_are() -> None:
    turns = (SYSTEM, *conversation(3))
    fitted = fit(turns, 16, Params())
    assert (fitted.turns, fitted.left_out) == ((SYSTEM, turns[-1]), 6)
    assert fit((turns[-1],), 16, Params()).turns == (turns[-1],)
    assert fit((SYSTEM,), 16, Params()).turns == (SYSTEM,)
    assert fit((), 16, Params()).turns == ()


def test_an_unfinished_answer_stays_with_its_question() -> None:
    turns = (*conversation(2), Turn("assistant", "b" * 4000))
    fitted = fit(turns, 16, Params())
    assert (fitted.turns, fitted.left_out) == (turns[-2:], 4)


def test_room_is_left_for_the_answer() -> None:
    turns = conversation(1)
    assert fit(turns, 4 * HUNDRED, Params()).left_out == 0, "a quarter"
    assert fit(turns, 4 * HUNDRED - 4, Params()).left_out == 2
    assert fit(turns, 3 * HUNDRED + 50, Params(max_tokens=50)).left_out == 0
    assert fit(turns, 3 * HUNDRED + 50, Params(max_tokens=51)).left_out == 2
    assert fit(turns, 6 * HUNDRED, Params(max_tokens=10**6)).left_out == 0, "a half at most"
    assert fit(turns, 6 * HUNDRED - 2, Params(max_tokens=10**6)).left_out == 2
    long = conversation(200)
    assert fit(long, 401 * HUNDRED + ANSWER_MOST, Params()).left_out == 0, "4096 are enough"


def counted(turns: int, tokens: int) -> Counted:
    return Counted("main", "m", turns, tokens)


def test_what_was_counted_is_taken_for_what_it_is_and_the_rest_is_estimated() -> None:
    turns = conversation(2)
    assert fit(turns, 480 + HUNDRED, NO_ANSWER, counted(4, 480)).left_out == 0
    assert fit(turns, 480 + HUNDRED - 1, NO_ANSWER, counted(4, 480)).left_out == 2
    assert fit(turns, 300 + HUNDRED, NO_ANSWER, counted(4, 300)).left_out == 0
    assert fit(turns, 300 + HUNDRED - 1, NO_ANSWER, counted(4, 300)).left_out == 2


def test_a_count_that_is_long_enough_corrects_the_estimate_of_the_rest() -> None:
    turns = conversation(2)
    more = counted(4, 6 * HUNDRED)
    assert fit(turns, round(7.5 * HUNDRED), NO_ANSWER, more).left_out == 0
    assert fit(turns, round(7.5 * HUNDRED) - 1, NO_ANSWER, more).left_out == 2
    assert fit(turns, round(4.5 * HUNDRED), NO_ANSWER, more).left_out == 2
    assert fit(turns, round(4.5 * HUNDRED) - 1, NO_ANSWER, more).left_out == 4
    long = conversation(8)
    fewer = counted(16, 12 * HUNDRED)
    assert fit(long, round(12.75 * HUNDRED), NO_ANSWER, fewer).left_out == 0
    assert fit(long, round(12.75 * HUNDRED) - 1, NO_ANSWER, fewer).left_out == 2


def test_a_short_count_says_nothing_of_the_rest() -> None:
    turns = (*conversation(1), Turn("assistant", "a" * 40_000), Turn("user", "last"))
    rest = sum(map(tokens_of, turns[1:]))
    assert fit(turns, round(499 + rest), NO_ANSWER, counted(1, 499)).left_out == 0
    assert fit(turns, round(499 + rest) - 1, NO_ANSWER, counted(1, 499)).left_out == 2
    assert fit(turns, round(499 + rest), NO_ANSWER, counted(1, 500)).left_out > 0


def test_the_count_has_the_system_prompt_in_it() -> None:
    turns = (SYSTEM, *conversation(1))
    known = counted(1, 2 * HUNDRED + 50)
    assert fit(turns, 4 * HUNDRED + 50, NO_ANSWER, known).left_out == 0
    assert fit(turns, 4 * HUNDRED + 49, NO_ANSWER, known).left_out == 2


def test_a_count_changes_the_estimate_of_the_rest_by_half_or_by_double_at_most() -> None:
    turns = conversation(40)
    rest = sum(map(tokens_of, turns[2:]))
    assert fit(turns, round(5000 + 2 * rest), NO_ANSWER, counted(2, 5000)).left_out == 0
    assert fit(turns, round(5000 + 2 * rest) - 1, NO_ANSWER, counted(2, 5000)).left_out > 0
    known = sum(map(tokens_of, turns[:60]))
    rest = sum(map(tokens_of, turns[60:]))
    assert known / 500 > 4
    assert fit(turns, round(500 + rest / 2), NO_ANSWER, counted(60, 500)).left_out == 0
    assert fit(turns, round(500 + rest / 2) - 1, NO_ANSWER, counted(60, 500)).left_out == 2


def test_leaving_a_turn_out_frees_no_more_than_it_can_have_taken() -> None:
    turns = conversation(3)
    hidden = counted(2, 50 * HUNDRED)
    assert fit(turns, 58 * HUNDRED, NO_ANSWER, hidden).left_out == 2, "50 for two, and 2 for each of the five others"
    assert fit(turns, 55 * HUNDRED, NO_ANSWER, hidden).left_out == 4
    cheap = counted(6, HUNDRED)
    assert fit(turns, HUNDRED + HUNDRED // 2, NO_ANSWER, cheap).left_out == 4, "a third of the count for each pair"


def test_a_count_that_cannot_be_of_this_text_is_none() -> None:
    turns = conversation(1)
    for impossible in (counted(2, 0), counted(0, 10_000), counted(9, 10_000)):
        assert fit(turns, 3 * HUNDRED, NO_ANSWER, impossible).left_out == 0
        assert fit(turns, 3 * HUNDRED - 1, NO_ANSWER, impossible).left_out == 2
