"""A conversation as one text, for upstreams that take a question and keep conversations themselves.

Ours can be edited, branched and carried to another model, so that no thread of theirs is one of ours: each question is
a thread of its own, and what was said before goes along in its text.
"""

from __future__ import annotations

from collections.abc import Sequence

from chat.providers.base import Turn
from chat.providers.continuing import CONTINUE

HISTORY_CHARS = 6000
"""Of what was said before, the newest; what such interfaces bear is seldom published."""

_EARLIER = "此前的对话 / The conversation so far:"
_NOW = "现在的问题 / The question now:"
_SPEAKERS = {"user": "用户 / User", "assistant": "助手 / Assistant"}


def question_of(turns: Sequence[Turn], *, history: bool) -> str:
    """One text for all turns. Without the `history` it is the last question, and, where its answer is unfinished, what
    there is of that: nobody can go on with what he does not see."""
    spoken = [turn for turn in turns if turn.role != "system" and turn.text.strip()]
    unfinished = not spoken or spoken[-1].role == "assistant"
    question = CONTINUE if unfinished else spoken.pop().text
    parts = [turn.text for turn in turns if turn.role == "system"]
    if not history:
        parts, spoken = [], spoken[-2:] if unfinished else []
    if transcript := _transcript(spoken):
        parts.append(f"{_EARLIER}\n{transcript}")
    return "\n\n".join([*parts, f"{_NOW}\n{question}"]) if parts else question


def _transcript(turns: Sequence[Turn]) -> str:
    """The newest of it; a turn that is cut lacks its beginning."""
    lines: list[str] = []
    room = HISTORY_CHARS
    for turn in reversed(turns):
        if room <= 0:
            break
        text = turn.text if len(turn.text) <= room else "…" + turn.text[-room:]
        room -= len(turn.text)
        lines.append(f"{_SPEAKERS[turn.role]}: {text}")
    return "\n".join(reversed(lines))
