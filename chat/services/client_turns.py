"""Where a client's next message stands in a conversation, when all that is known of it is the client's own picture.

A client that keeps the history itself sends it along, under ids of its own for what its user wrote, and ours for what
it was answered. So a message is known by the answer that it follows and by its text. Synchronous, for `Database.read`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum

from django.db.models import QuerySet

from chat.errors import NotFound
from chat.models import Generation, Message
from chat.models.message import Role
from chat.services.acceptance import digest
from chat.services.access import parse_id


class Intent(Enum):
    """NEW: it goes on from what it follows; CHANGED: it stands in the place of one that was there; AGAIN: it is there,
    and is to be answered anew. Of a CHANGED one that has not changed, the same is wanted; and one that is not there
    after all, since it was refused, is NEW."""

    NEW = "new"
    CHANGED = "changed"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's message as the client has it. `ids`: those by which it, or its answer, may be known here; `after`: that
    of the answer before it; `is_first`: nothing is before it, though the client may have left that out."""

    intent: Intent
    text: str
    ids: tuple[str, ...]
    after: str | None
    is_first: bool


@dataclass(frozen=True, slots=True)
class Place:
    """`parent`: what it follows, None for the newest message; or `instead_of`: whose sibling it becomes; or `again`:
    the message that it is, which is only answered."""

    conversation: uuid.UUID
    parent: uuid.UUID | None = None
    instead_of: uuid.UUID | None = None
    again: uuid.UUID | None = None


def place(user: uuid.UUID, conversation: uuid.UUID, turn: Turn, key: str | None) -> Place:
    """A key that was used leads where it led before: the same request finds itself already there."""
    if key is not None and (used := Generation.objects.filter(user_id=user, key=key).first()) is not None:
        return _place_before(conversation, used, turn, key)
    after = _own(conversation, turn.after)
    parent = None if after is None else after.id
    if turn.intent is Intent.NEW:
        return Place(conversation, parent)
    known = _by_ids(conversation, turn) or _by_text(conversation, parent, turn)
    if known is None and turn.intent is Intent.CHANGED:
        known = _newest_at(conversation, parent, turn)
    if known is None:
        return Place(conversation, parent)
    if turn.intent is Intent.AGAIN or known.text == turn.text:
        return Place(conversation, again=known.id)
    return Place(conversation, instead_of=known.id)


def newest_branch(conversation: uuid.UUID) -> list[uuid.UUID]:
    """The ids of its messages, from the newest up to the root."""
    messages = Message.objects.filter(conversation_id=conversation).order_by("id")
    parents = dict(messages.values_list("id", "parent_id"))
    path: list[uuid.UUID] = []
    message = next(reversed(parents), None)
    while message is not None and message in parents:
        path.append(message)
        message = parents[message]
    return path


def _place_before(conversation: uuid.UUID, used: Generation, turn: Turn, key: str) -> Place:
    question = used.user_message_id
    if question is not None and used.request_digest == digest(key, "regenerate", str(question)):
        was_same = Message.objects.filter(id=question, text=turn.text).exists()
        return Place(conversation, again=question) if was_same else Place(conversation)
    return Place(conversation)


def _own(conversation: uuid.UUID, id: str | None) -> Message | None:
    """The message of ours in this conversation, or None: most clients' ids are their own."""
    if id is None:
        return None
    try:
        own = parse_id(id)
    except NotFound:
        return None
    return Message.objects.filter(id=own, conversation_id=conversation).first()


def _by_ids(conversation: uuid.UUID, turn: Turn) -> Message | None:
    for id in turn.ids:
        message = _own(conversation, id)
        if message is not None and message.role == Role.ASSISTANT:
            message = message.parent
        if message is not None:
            return message
    return None


def _by_text(conversation: uuid.UUID, parent: uuid.UUID | None, turn: Turn) -> Message | None:
    """Behind the same answer; else at the end of the newest branch, since clients leave out what they need not send."""
    questions = _questions(conversation).filter(text=turn.text)
    if parent is not None:
        return questions.filter(parent_id=parent).first()
    at_end = questions.filter(id__in=newest_branch(conversation)[:2]).first()
    if at_end is not None or not turn.is_first:
        return at_end
    return questions.filter(parent_id=None).first()


def _newest_at(conversation: uuid.UUID, parent: uuid.UUID | None, turn: Turn) -> Message | None:
    """What the client's message has replaced."""
    if parent is None and not turn.is_first:
        return None
    return _questions(conversation).filter(parent_id=parent).first()


def _questions(conversation: uuid.UUID) -> QuerySet[Message]:
    """Newest first."""
    return Message.objects.filter(conversation_id=conversation, role=Role.USER).order_by("-id")
