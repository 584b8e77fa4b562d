"""What the upstream is sent: the system prompt, then the newest turns of the branch that fit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chat.models import Conversation, Generation, Message
from chat.models.message import Role
from chat.providers.base import ChatRequest, Counted, Pace, Params, Turn
from chat.services import recorded_params

Speaker = Literal["user", "assistant"]

_Said = tuple[Speaker, str, uuid.UUID | None]
"""Speaker, text, and the generation that it is of."""

READ_AT_ONCE = 500
"""Messages, with their texts."""

LOOK_BACK = 8
"""Answers, newest first, that are looked through for those whose tokens the upstream has counted."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A path through the tree: its last message's id, and its turns, oldest first. `left_out`: messages before them
    that don't fit; `counted`: what upstreams have said of the size of the beginning, the newest first, each with the
    digest of the system prompt that it was under."""

    leaf: uuid.UUID | None = None
    turns: tuple[Turn, ...] = ()
    left_out: int = 0
    counted: tuple[tuple[str, Counted], ...] = ()

    def asked(self, question: str) -> Branch:
        """With a new question at its end."""
        return replace(self, turns=(*self.turns, Turn("user", question)))

    def under(self, system: str) -> Branch:
        """With the system prompt before it. What was counted under another is not known any more."""
        turns = (Turn("system", system), *self.turns) if system else self.turns
        digest = recorded_params.digest_of(system)
        return replace(self, turns=turns, counted=tuple(one for one in self.counted if one[0] == digest))

    def request(self, model: str, params: Params, user: uuid.UUID, pace: Pace) -> ChatRequest:
        counted = tuple(one for _digest, one in self.counted)
        return ChatRequest(model, self.turns, params, user.hex, pace, counted, self.left_out)

    @property
    def chars(self) -> int:
        return sum(len(turn.text) for turn in self.turns)


@dataclass(slots=True)
class _Part:
    """A turn as it is put together, from its newest message to its oldest."""

    role: Speaker
    texts: list[str]
    answered_by: uuid.UUID | None


def branch(conversation: Conversation, leaf: uuid.UUID | None, max_chars: int | None) -> Branch:
    """The turns from the root to `leaf` (None: the newest message), the newest `max_chars` characters of them, whole
    turns, beginning with the user's. Synchronous, for `Database.read`."""
    messages = Message.objects.filter(conversation=conversation).order_by("id")
    parents = dict(messages.values_list("id", "parent_id"))
    if leaf is None:
        leaf = next(reversed(parents), None)
    path = _path(parents, leaf)

    def count() -> int:
        silent = set(messages.filter(text="").values_list("id", flat=True))
        return sum(id not in silent for id in path)

    return _newest(leaf, _said(path), count, max_chars)


def told(history: Sequence[Turn], max_chars: int | None) -> Branch:
    """The same of a history that is not in the database: of users' and assistants' turns, oldest first, none empty."""
    said = ((_speaker(turn.role), turn.text, None) for turn in reversed(history))
    return _newest(None, said, lambda: len(history), max_chars)


def _said(path: Sequence[uuid.UUID]) -> Iterator[_Said]:
    """What these messages say, read as it is asked for: of a long conversation, only what fits."""
    for start in range(0, len(path), READ_AT_ONCE):
        ids = path[start : start + READ_AT_ONCE]
        columns = ("id", "role", "text", "latest_generation")
        rows = {row[0]: row[1:] for row in Message.objects.filter(id__in=ids).values_list(*columns)}
        for role, text, generation in (rows[id] for id in ids if id in rows):  # one may have been deleted meanwhile
            if text:
                yield _speaker(role), text, generation


def _speaker(role: str) -> Speaker:
    return "user" if role == Role.USER else "assistant"


def _newest(leaf: uuid.UUID | None, said: Iterable[_Said], count: Callable[[], int], max_chars: int | None) -> Branch:
    """`said`: newest first; `count`: how many that is, asked for where not all of it fits."""
    parts: list[_Part] = []
    is_whole = True
    room = max_chars
    for speaker, text, generation in said:
        if room is not None:
            room -= len(text)
            if room < 0 and parts:
                is_whole = False
                break
        if parts and parts[-1].role == speaker:
            # The reply between them failed without a text; many upstreams want the roles to alternate.
            parts[-1].texts.append(text)
        else:
            parts.append(_Part(speaker, [text], generation))
    while parts and parts[-1].role == "assistant":
        is_whole = False
        parts.pop()
    parts.reverse()
    left_out = 0 if is_whole else count() - sum(len(part.texts) for part in parts)
    turns = tuple(Turn(part.role, "\n\n".join(reversed(part.texts))) for part in parts)
    # What was counted was of the whole.
    return Branch(leaf, turns, left_out, () if left_out else _counted(parts))


def _counted(parts: Sequence[_Part]) -> tuple[tuple[str, Counted], ...]:
    """What was sent for each of the newest answers, as its upstream has counted it. What it has answered is not counted
    as it is sent again: without its thoughts, and without what marks a turn. For one that was continued or taken over,
    a part of it was sent too; and what was sent of a trimmed conversation is less than the whole."""
    places = {part.answered_by: at for at, part in enumerate(parts) if part.answered_by is not None}
    newest = list(reversed(places))[:LOOK_BACK]
    if not newest:
        return ()
    columns = ("id", "provider", "model", "input_tokens", "params", "notes")
    known = Generation.objects.filter(
        id__in=newest, usage_estimated=False, input_tokens__gt=0, text_offset=0, reasoning_offset=0, epoch=1
    )
    rows = {row[0]: row[1:] for row in known.values_list(*columns)}
    counted = []
    for generation in newest:
        if generation not in rows or not places[generation]:
            continue
        provider, model, tokens, params, notes = rows[generation]
        if not any(note.get("note") == "trimmed" for note in notes):
            counted.append((recorded_params.system_of(params), Counted(provider, model, places[generation], tokens)))
    return tuple(counted)


def _path(parents: Mapping[uuid.UUID, uuid.UUID | None], leaf: uuid.UUID | None) -> list[uuid.UUID]:
    """From the leaf up to the root."""
    path = []
    while leaf is not None and leaf in parents:
        path.append(leaf)
        leaf = parents[leaf]
    return path
