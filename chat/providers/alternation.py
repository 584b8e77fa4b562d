"""A conversation as some upstreams insist on it: the instructions apart, then user and assistant by turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chat.providers.base import Turn


def alternating(turns: Iterable[Turn]) -> tuple[str, list[Turn]]:
    """What the system turns say, and the others: the user's first, neighbours of one role made one, and none without
    a word or a picture."""
    instructions: list[str] = []
    asked: list[Turn] = []
    for turn in turns:
        if not turn.pictures and not turn.text.strip():
            continue
        if turn.role == "system":
            instructions.append(turn.text)
        elif asked and asked[-1].role == turn.role:
            asked[-1] = _as_one(asked[-1], turn)
        elif asked or turn.role == "user":
            asked.append(turn)
    return "\n\n".join(instructions), asked


def instructed(instructions: str, turns: list[Turn], *, system: bool) -> list[Turn]:
    """Both together again. `turns` begin with the user's; where there is no `system` role, the instructions open
    them."""
    if not instructions:
        return turns
    said = Turn("system", instructions)
    if system:
        return [said, *turns]
    first, *rest = turns
    return [_as_one(replace(said, role="user"), first), *rest]


def _as_one(first: Turn, second: Turn) -> Turn:
    text = "\n\n".join(filter(str.strip, (first.text, second.text)))
    return replace(first, text=text, pictures=first.pictures + second.pictures)
