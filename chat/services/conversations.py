"""Conversations and their messages, as their owner sees them."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest, NotFound
from chat.models import Conversation, Feedback, Generation, Message
from chat.models.message import Role
from chat.services import access, feedback, message_deletion
from chat.services.database import Database
from chat.services.nudges import Nudges
from chat.services.records import ConversationRecord, MessageRecord, Page, conversation_record, message_record

PAGE = 50
PAGE_MOST = 200


class Conversations:
    def __init__(self, database: Database, nudges: Nudges) -> None:
        self._database = database
        self._nudges = nudges

    async def page(
        self, user: uuid.UUID, cursor: str | None, limit: int, only: Mapping[str, bool] | None = None
    ) -> Page:
        """Newest first; message bodies are never loaded. `only`: what its switches must be."""
        return await self._database.read(_page, user, cursor, limit, only or {})

    async def create(self, user: uuid.UUID, fields: dict[str, Any]) -> ConversationRecord:
        record = await self._database.write(_create, user, fields)
        self._nudges.conversation_changed(user, "created", record.id)
        return record

    async def get(self, user: uuid.UUID, conversation: str) -> ConversationRecord:
        return await self._database.read(_get, user, conversation)

    async def change(self, user: uuid.UUID, conversation: str, fields: dict[str, Any]) -> ConversationRecord:
        record = await self._database.write(_change, user, conversation, fields)
        self._nudges.conversation_changed(user, "updated", record.id, title=record.title)
        return record

    async def live_generations(self, user: uuid.UUID, conversation: str) -> list[str]:
        record = await self.get(user, conversation)
        return record.running

    async def delete(self, user: uuid.UUID, conversation: str) -> None:
        """Its live generations must have been stopped. Raises NotFound."""
        more = await self._database.write(_delete, user, conversation)
        with suppress(NotFound):  # somebody else has deleted the rest
            while more:
                more = await self._database.write(_delete, user, conversation)
        self._nudges.conversation_changed(user, "deleted", conversation)

    async def messages(self, user: uuid.UUID, conversation: str, cursor: str | None, limit: int) -> Page:
        """Oldest first."""
        return await self._database.read(_messages, user, conversation, cursor, limit)

    async def judge(self, user: uuid.UUID, message: str, value: Any, comment: Any) -> MessageRecord:
        """What its owner thinks of an answer; see `feedback`."""
        await self._database.write(feedback.give, user, message, *feedback.checked(value, comment))
        [record] = await self.messages_by_id(user, [message])
        return record

    async def messages_by_id(self, user: uuid.UUID, ids: Iterable[str]) -> list[MessageRecord]:
        return await self._database.read(_messages_by_id, user, list(ids))


def _page(user: uuid.UUID, cursor: str | None, limit: int, only: Mapping[str, bool]) -> Page:
    conversations = Conversation.objects.filter(user_id=user, stored=True, **only).order_by("-updated_at", "-id")
    if cursor is not None:
        updated_at, last = _read_cursor(cursor)
        conversations = conversations.filter(Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, id__lt=last))
    rows = list(conversations[: limit + 1])
    running = _running([row.id for row in rows[:limit]])
    items = [conversation_record(row, running[row.id]) for row in rows[:limit]]
    last_row = rows[limit - 1] if len(rows) > limit else None
    return Page(items, None if last_row is None else _cursor(last_row.updated_at, last_row.id))


def _create(user: uuid.UUID, fields: dict[str, Any]) -> ConversationRecord:
    now = datetime.now(UTC)
    return conversation_record(Conversation.objects.create(user_id=user, created_at=now, updated_at=now, **fields))


def _get(user: uuid.UUID, conversation_id: str) -> ConversationRecord:
    conversation = access.conversation(user, conversation_id)
    return conversation_record(conversation, _running([conversation.id])[conversation.id])


def _change(user: uuid.UUID, conversation_id: str, fields: dict[str, Any]) -> ConversationRecord:
    conversation = access.conversation(user, conversation_id)
    for name, value in fields.items():
        setattr(conversation, name, value)
    conversation.updated_at = datetime.now(UTC)
    conversation.save(update_fields=[*fields, "updated_at"])
    return conversation_record(conversation, _running([conversation.id])[conversation.id])


def _delete(user: uuid.UUID, conversation_id: str) -> bool:
    """Whether there is more of it, which nobody finds any more; where that is left over, it goes with whatever else is
    not stored."""
    # The lock, where the database has one: what another worker takes into the search's index is there, or will not be.
    conversation = access.conversation(user, conversation_id, locked=True)
    if message_deletion.delete_some([conversation.id]):
        Conversation.objects.filter(id=conversation.id).update(stored=False)
        return True
    conversation.delete()
    return False


def _messages(user: uuid.UUID, conversation_id: str, cursor: str | None, limit: int) -> Page:
    conversation = access.conversation(user, conversation_id)
    messages = Message.objects.filter(conversation=conversation).order_by("id")
    if cursor is not None:
        messages = messages.filter(id__gt=_read_message_cursor(cursor))
    rows = list(messages[: limit + 1])
    records = _with_siblings(conversation.id, rows[:limit])
    return Page(records, str(rows[limit - 1].id) if len(rows) > limit else None)


def _messages_by_id(user: uuid.UUID, ids: list[str]) -> list[MessageRecord]:
    rows = [access.message(user, message) for message in ids]
    return [record for row in rows for record in _with_siblings(row.conversation_id, [row])]


def _with_siblings(conversation: uuid.UUID, messages: list[Message]) -> list[MessageRecord]:
    """`siblings`: all messages with the same parent and role, oldest first, this one among them."""
    parents = {message.parent_id for message in messages}
    family: defaultdict[tuple[uuid.UUID | None, str], list[uuid.UUID]] = defaultdict(list)
    children = Message.objects.filter(conversation_id=conversation).filter(
        Q(parent_id__in=[parent for parent in parents if parent is not None])
        | (Q(parent_id=None) if None in parents else Q(pk__in=[]))
    )
    for child, parent, role in children.order_by("id").values_list("id", "parent_id", "role"):
        family[parent, role].append(child)
    notes, judged = _notes_of(messages), _feedback_of(messages)
    return [
        message_record(
            message,
            family[message.parent_id, message.role],
            notes.get(message.latest_generation, ()),
            judged.get(message.id),
        )
        for message in messages
    ]


def _notes_of(messages: Iterable[Message]) -> dict[uuid.UUID | None, list[dict[str, Any]]]:
    """By generation: of those that filled these messages last."""
    filled = [message.latest_generation for message in messages if message.latest_generation is not None]
    return dict(Generation.objects.filter(id__in=filled).values_list("id", "notes")) if filled else {}


def _feedback_of(messages: Iterable[Message]) -> dict[uuid.UUID, int]:
    answers = [message.id for message in messages if message.role == Role.ASSISTANT]
    return dict(Feedback.objects.filter(message_id__in=answers).values_list("message_id", "value")) if answers else {}


def _running(conversations: list[uuid.UUID]) -> defaultdict[uuid.UUID, list[uuid.UUID]]:
    running: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    rows = Generation.objects.live().filter(conversation_id__in=conversations).order_by("id")
    for conversation, generation in rows.values_list("conversation_id", "id"):
        running[conversation].append(generation)
    return running


def _cursor(moment: datetime, last: uuid.UUID) -> str:
    return urlsafe_b64encode(f"{moment.isoformat()}|{last}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        moment, last = urlsafe_b64decode(cursor).decode().split("|")
        return datetime.fromisoformat(moment).astimezone(UTC), uuid.UUID(last)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _read_message_cursor(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(cursor)
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest(_("This cursor is not one of ours. Begin again without it."), {"field": "cursor"})
