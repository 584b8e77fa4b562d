"""What the upstream is sent: the system prompt, then the newest turns of the branch that fit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from chat.models import Conversation, Message
from chat.models.message import Role
from chat.providers.base import Turn


@dataclass(frozen=True, slots=True)
class Branch:
    """A path through the tree: its last message's id, and its turns, oldest first."""

    leaf: uuid.UUID | None
    turns: tuple[Turn, ...]


def branch(conversation: Conversation, leaf: uuid.UUID | None, max_chars: int | None) -> Branch:
    """The turns from the root to `leaf` (None: the newest message), the newest `max_chars` characters of them, whole
    turns, beginning with the user's. Synchronous, for `Database.read`."""
    parents = dict(Message.objects.filter(conversation=conversation).order_by("id").values_list("id", "parent_id"))
    if leaf is None:
        leaf = next(reversed(parents), None)
    path = _path(parents, leaf)
    turns: list[Turn] = []
    room = max_chars
    texts = {row[0]: row[1:] for row in Message.objects.filter(id__in=path).values_list("id", "role", "text")}
    for message in path:
        role, text = texts[message]
        if not text:
            continue
        if room is not None:
            room -= len(text)
            if room < 0 and turns:
                break
        speaker: Literal["user", "assistant"] = "user" if role == Role.USER else "assistant"
        if turns and turns[-1].role == speaker:
            # The reply between them failed without a text; many upstreams want the roles to alternate.
            turns[-1] = Turn(speaker, f"{text}\n\n{turns[-1].text}")
        else:
            turns.append(Turn(speaker, text))
    turns.reverse()
    while turns and turns[0].role == "assistant":
        del turns[0]
    return Branch(leaf, tuple(turns))


def with_system(turns: tuple[Turn, ...], system: str) -> tuple[Turn, ...]:
    return (Turn("system", system), *turns) if system else turns


def _path(parents: Mapping[uuid.UUID, uuid.UUID | None], leaf: uuid.UUID | None) -> list[uuid.UUID]:
    """From the leaf up to the root."""
    path = []
    while leaf is not None and leaf in parents:
        path.append(leaf)
        leaf = parents[leaf]
    return path
