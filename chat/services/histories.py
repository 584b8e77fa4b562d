"""A client that sends its whole history with each message: which conversation of the user's that is.

A history that continues a conversation word for word goes on in it; the same one with the same last message is answered
once more; any other begins a conversation of its own, and so does what was asked too often in the same place.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chat.models import Conversation, Generation, Message
from chat.models.message import Role
from chat.providers.base import Turn
from chat.services.acceptance import digest, opening_of, title_of
from chat.services.database import Database
from chat.services.sending import Author, Send, Sending, Started

CANDIDATES = 20
"""Conversations with the title that the history would give, newest first, that are looked through."""

LEAVES = 8
"""Messages in them with the text of the history's last, newest first, whose ways from the beginning are compared."""

SIBLINGS = 20
"""Answers to one question, or questions behind one message, after which the next begins a conversation anew: programs
ask the same for ever, and all that is read and told of a conversation grows with it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """`parent`: what the question follows, None at the beginning; `asked`: the same question, where it stands there
    already."""

    conversation: uuid.UUID
    parent: uuid.UUID | None
    asked: uuid.UUID | None


class Histories:
    def __init__(self, database: Database, sending: Sending) -> None:
        self._database = database
        self._sending = sending

    async def send(self, author: Author, send: Send) -> Started:
        """Commits the message where its history belongs, and starts its reply. `send` names no conversation. Its
        system prompt is that of this request alone, whatever the conversation began with. Raises RequestError."""
        send = replace(send, system=send.system or "")
        if not send.stored:
            return await self._sending.send(author, send)
        place = await self._database.read(_find, author.user, send.history, send.message)
        if place is None:
            return await self._sending.send(author, send)
        if place.asked is not None and not await self._database.read(_was_sent, author.user, send):
            return await self._sending.regenerate(
                *(author, str(place.asked), send.provider, send.model, send.key, send.params, send.system),
                send.recorded,
            )
        parent = None if place.parent is None else str(place.parent)
        continued = replace(send, conversation=str(place.conversation), parent=parent, history=())
        return await self._sending.send(author, continued)


def _was_sent(user: uuid.UUID, send: Send) -> bool:
    """Whether the key has sent this question: it stands there for that, and is not asked anew."""
    if send.key is None:
        return False
    sent = digest(send.key, "send", send.message)
    return Generation.objects.filter(user_id=user, key=send.key, request_digest=sent).exists()


def _find(user: uuid.UUID, history: Sequence[Turn], question: str) -> _Place | None:
    opening = opening_of([*history, Turn("user", question)])
    candidates = list(
        Conversation.objects.filter(user_id=user, stored=True, title=title_of(opening))
        .order_by("-updated_at", "-id")
        .values_list("id", flat=True)[:CANDIDATES]
    )
    if not candidates:
        return None
    if not history:
        return _beginning(candidates, question)
    last = history[-1]
    leaves = Message.objects.filter(conversation_id__in=candidates, role=last.role, text=last.text)
    for leaf, conversation in leaves.order_by("-id").values_list("id", "conversation_id")[:LEAVES]:
        if _is_told(conversation, leaf, history) and (place := _behind(conversation, leaf, question)) is not None:
            return place
    return None


def _behind(conversation: uuid.UUID, leaf: uuid.UUID, question: str) -> _Place | None:
    """None where there is no room."""
    asked = Message.objects.filter(parent_id=leaf, role=Role.USER, text=question).order_by("-id")
    known = asked.values_list("id", flat=True).first()
    return _Place(conversation, leaf, known) if _has_room(leaf if known is None else known) else None


def _beginning(candidates: Sequence[uuid.UUID], question: str) -> _Place | None:
    """Where the question is the first that was said."""
    asked = Message.objects.filter(conversation_id__in=candidates, role=Role.USER, text=question).order_by("-id")
    # Not by `parent_id IS NULL` in the database, for which it might look through everybody's first messages.
    for message in asked.only("id", "conversation_id", "parent_id"):
        if message.parent_id is None and _has_room(message.id):
            return _Place(message.conversation_id, None, message.id)
    return None


def _has_room(message: uuid.UUID) -> bool:
    """For one more that follows it."""
    return Message.objects.filter(parent_id=message).count() < SIBLINGS


def _is_told(conversation: uuid.UUID, leaf: uuid.UUID, history: Sequence[Turn]) -> bool:
    """Whether the way from the beginning to `leaf` is this history. Replies that failed without a text are no part of
    it."""
    parents = dict(Message.objects.filter(conversation_id=conversation).values_list("id", "parent_id"))
    path: list[uuid.UUID] = []
    at: uuid.UUID | None = leaf
    while at is not None:
        path.append(at)
        at = parents.get(at)  # which may have been deleted meanwhile
    if len(path) < len(history):
        return False
    said = {row[0]: row[1:] for row in Message.objects.filter(id__in=path).values_list("id", "role", "text")}
    told = [said[message] for message in reversed(path) if message in said and said[message][1]]
    return told == [(turn.role, turn.text) for turn in history]
