"""What the search does not know yet of a user's conversations: looked up when they search; a reply costs nothing more.

A conversation whose `updated_at` is another than when it was last taken in may have more: every change of it sets that.
Of such a one, the ended messages are taken in that the index lacks, or has as another generation left them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Substr

from chat.events import ENDED
from chat.models import Conversation, Generation, Message, SearchEntry
from chat.services.search_index import Taken, place_of
from chat.services.search_words import words_of

BATCH_CHARS = 50_000
"""Taken in by one write, which others wait for: some ten milliseconds."""
BATCH_CONVERSATIONS = 50
BATCH_MESSAGES = 200

SEARCHED_CHARS = 200_000
"""Of a longer message, the beginning is found."""

_ENDED = [status.value for status in ENDED]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a user's conversations have been gone through, from the newest on: down to this one, whose messages have
    been gone through up to `message`, or altogether."""

    updated_at: datetime
    conversation: uuid.UUID
    message: uuid.UUID | None = None
    done: bool = True


@dataclass(slots=True)
class Batch:
    """`position`: where to go on; None at the end."""

    taken: list[Taken] = field(default_factory=list)
    position: Position | None = None
    chars: int = 0

    @property
    def is_full(self) -> bool:
        return self.chars >= BATCH_CHARS or len(self.taken) >= BATCH_MESSAGES


def next_batch(user: uuid.UUID, position: Position | None) -> Batch:
    """What is to be taken in next. For `Database.read`: the words are cut there, not in the thread that writes."""
    batch = Batch()
    stale = list(_stale(user, position)[:BATCH_CONVERSATIONS])
    for conversation in stale:
        here = Position(conversation.updated_at, conversation.id)
        after = position.message if position is not None and position.conversation == conversation.id else None
        # Looked at before the messages: what ends in between has changed the conversation, which is looked at again.
        live = Generation.objects.live().filter(conversation_id=conversation.id).exists()
        last = _take_messages(batch, conversation.id, after)
        if last is not None:
            batch.position = replace(here, message=last, done=False)
            return batch
        batch.taken.append(
            Taken(
                place_of(conversation.created_at, conversation.id),
                conversation.id,
                None,
                None,
                None if live else conversation.updated_at,
                words_of(conversation.title),
            )
        )
        batch.position = here
        if batch.is_full:
            return batch
    if len(stale) < BATCH_CONVERSATIONS:
        batch.position = None
    return batch


def _stale(user: uuid.UUID, position: Position | None) -> QuerySet[Conversation]:
    seen = SearchEntry.objects.filter(conversation=OuterRef("pk"), message=None, seen_at=OuterRef("updated_at"))
    rows = Conversation.objects.filter(~Exists(seen), user_id=user, stored=True)
    if position is not None:
        below = Q(updated_at__lt=position.updated_at) | Q(updated_at=position.updated_at, id__lt=position.conversation)
        rows = rows.filter(below if position.done else below | Q(id=position.conversation))
    return rows.order_by("-updated_at", "-id").only("id", "title", "created_at", "updated_at")


def _take_messages(batch: Batch, conversation: uuid.UUID, after: uuid.UUID | None) -> uuid.UUID | None:
    """The last message where there may be more than the batch takes; None where these were all."""
    filled = Message.objects.annotate(filler=Coalesce("latest_generation", "id"))
    known = SearchEntry.objects.filter(message=OuterRef("pk"), generation=OuterRef("filler"))
    rows = filled.filter(~Exists(known), conversation_id=conversation, status__in=_ENDED).exclude(text="")
    if after is not None:
        rows = rows.filter(id__gt=after)
    values = rows.order_by("id").values_list("id", "filler", "created_at", Substr("text", 1, SEARCHED_CHARS))
    for id, filler, created_at, text in values[:BATCH_MESSAGES].iterator(chunk_size=20):
        words = words_of(text)
        batch.taken.append(Taken(place_of(created_at, id), conversation, id, filler, None, words))
        batch.chars += len(text)
        if batch.is_full:
            return id  # type: ignore[no-any-return]
    return None
