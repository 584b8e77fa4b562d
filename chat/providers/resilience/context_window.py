"""What of a conversation fits into a model's context: the newest turns, whole questions with their answers.

No upstream says beforehand how many tokens a text is. So they are estimated by characters; and where the model has
counted the conversation's beginning before, that is taken for what it is, and only the turns since then are estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat.providers.base import Counted, Params, Turn

LATIN_CHARS = 4.0
WIDE_CHARS = 1.5
"""Characters that make a token: of Latin letters, and of Chinese, Japanese and Korean ones."""

TURN_TOKENS = 4
"""What marks a turn and its role, beside its text."""

PICTURE_TOKENS = 1000

ANSWER_PART = 4
ANSWER_MOST = 4096
"""The room for an answer without `max_tokens`: this part of the context, and not more than so many tokens. With it, the
half of the context at most: some ask for all that the model has, to be sure."""

COUNTED_LEAST = 500
"""Tokens from which on a count says how the model cuts words: of fewer, what stands beside the texts is too much."""

FACTOR_LEAST, FACTOR_MOST = 0.5, 2.0
"""By how much a count may change the estimate of what was not counted. What goes beyond counts something else."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """`left_out`: how many turns were."""

    turns: tuple[Turn, ...]
    left_out: int = 0


def fit(turns: tuple[Turn, ...], context: int | None, params: Params, counted: Counted | None = None) -> Fitted:
    """The oldest turns are left out, each question together with what answered it, until the rest and the answer fit
    into `context` tokens. The system prompt and the last question, with what follows it, always stay."""
    if context is None:
        return Fitted(turns)
    sizes = [tokens_of(turn) for turn in turns]
    first = 1 if turns and turns[0].role == "system" else 0
    total = sum(sizes)
    if counted is not None and counted.tokens > 0 and 0 < counted.turns <= len(turns) - first:
        total = _correct(sizes, first + counted.turns, counted.tokens)
    excess = total - (context - _room_for_answer(context, params))
    questions = [at for at in range(first, len(turns)) if turns[at].role == "user"]
    left_from = first
    for question in questions[1:]:
        if excess <= 0:
            break
        excess -= sum(sizes[left_from:question])
        left_from = question
    return Fitted((*turns[:first], *turns[left_from:]), left_from - first)


def _room_for_answer(context: int, params: Params) -> int:
    if params.max_tokens is None:
        return min(context // ANSWER_PART, ANSWER_MOST)
    return min(params.max_tokens, context // 2)


def tokens_of(turn: Turn) -> float:
    """An estimate. Bytes of UTF-8 tell the kinds of characters apart, and are counted fast: one of a Latin letter,
    three of a Chinese one; the others are between these two in both."""
    chars = len(turn.text)
    wide = 0.0 if turn.text.isascii() else (len(turn.text.encode("utf-8", "surrogatepass")) - chars) / 2
    return TURN_TOKENS + PICTURE_TOKENS * len(turn.pictures) + (chars - wide) / LATIN_CHARS + wide / WIDE_CHARS


def _correct(sizes: list[float], known: int, tokens: int) -> float:
    """The tokens of all turns, where the first `known` are `tokens` together. The `sizes` become what leaving each out
    is sure to free: a count may hold what no turn takes along."""
    share = tokens / sum(sizes[:known])
    factor = min(max(share, FACTOR_LEAST), FACTOR_MOST) if tokens >= COUNTED_LEAST else 1.0
    for at, size in enumerate(sizes):
        sizes[at] = size * (min(share, factor) if at < known else factor)
    return tokens + sum(sizes[known:])
