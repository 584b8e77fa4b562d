"""Importing conversations: our own exports, or ChatGPT's. All of a file, or nothing.

It is written in parts, between which others write too; until the last is there, the conversations are marked as not
stored, which hides them. What a worker that dies has left of them goes with whatever else is not stored.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest, TooLarge, Unavailable
from chat.models import Conversation, Feedback, Message
from chat.models.identifier import new_id
from chat.services.chat_export import ACCOUNT_FORMAT, CONVERSATION_FORMAT, read_export
from chat.services.chatgpt_export import read_chatgpt
from chat.services.database import Database
from chat.services.imported import ImportedConversation
from chat.services.nudges import Nudges
from chat.services.owned_tasks import OwnedTasks
from chat.services.records import ConversationRecord, conversation_record

ROWS = 400
"""Of one write, which others wait for: some twenty milliseconds."""


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """`skipped`: messages that nobody saw, which are left out."""

    items: list[ConversationRecord]
    skipped: int


@dataclass(frozen=True, slots=True)
class _Rows:
    conversations: list[Conversation]
    messages: list[Message]
    feedback: list[Feedback]


class Imports:
    """`messages`: the most of one import. `text_chars`: of one message."""

    def __init__(
        self,
        database: Database,
        nudges: Nudges,
        tasks: OwnedTasks,
        messages: int | None,
        text_chars: int | None,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._nudges = nudges
        self._messages = messages
        self._text_chars = text_chars

    async def take(self, user: uuid.UUID, document: Any) -> ImportRecord:
        """`document`: the JSON's value. Raises InvalidRequest, TooLarge, which name what is wrong; and Unavailable."""
        # In a thread of its own: a file may be megabytes.
        rows, skipped = await asyncio.to_thread(self._read, user, document)
        await self._tasks.to_its_end(self._store(rows))
        records = [conversation_record(conversation) for conversation in rows.conversations]
        for record in records:
            self._nudges.conversation_changed(user, "created", record.id)
        return ImportRecord(records, skipped)

    async def _store(self, rows: _Rows) -> None:
        for part in _parts(rows.conversations):
            await self._database.write(_create, Conversation, part)
        for part in _parts(rows.messages):
            await self._database.write(_create, Message, part)
        for part in _parts(rows.feedback):
            await self._database.write(_create, Feedback, part)
        await self._database.write(_show, [conversation.id for conversation in rows.conversations])

    def _read(self, user: uuid.UUID, document: Any) -> tuple[_Rows, int]:
        skipped = 0
        if isinstance(document, dict) and document.get("format") in (CONVERSATION_FORMAT, ACCOUNT_FORMAT):
            conversations = read_export(document, self._text_chars)
        elif isinstance(document, dict) and "mapping" in document:
            conversations, skipped = read_chatgpt([document], self._text_chars)
        elif isinstance(document, list):
            conversations, skipped = read_chatgpt(document, self._text_chars)
        else:
            words = _("This is neither an export of this server nor ChatGPT's conversations.json.")
            raise InvalidRequest(words, {"field": "format"}, status=422)
        self._check_size(conversations)
        return _rows(user, conversations), skipped

    def _check_size(self, conversations: Sequence[ImportedConversation]) -> None:
        count = sum(max(1, len(conversation.messages)) for conversation in conversations)
        if self._messages is not None and count > self._messages:
            raise TooLarge(
                _("These are %(count)d messages; one import takes %(limit)d. Please import them in several parts.")
                % {"count": count, "limit": self._messages},
                {"limit": self._messages},
            )


def _rows(user: uuid.UUID, conversations: Sequence[ImportedConversation]) -> _Rows:
    rows = _Rows([], [], [])
    for imported in conversations:
        conversation = Conversation(
            id=new_id(),
            user_id=user,
            title=imported.title,
            provider=imported.provider,
            model=imported.model,
            system=imported.system,
            pinned=imported.pinned,
            archived=imported.archived,
            message_count=len(imported.messages),
            stored=False,
            created_at=imported.created_at,
            updated_at=imported.updated_at,
        )
        rows.conversations.append(conversation)
        ids: dict[str, uuid.UUID] = {}
        for message in imported.messages:  # whose new ids are in the same order
            id = ids[message.key] = new_id()
            rows.messages.append(
                Message(
                    id=id,
                    conversation_id=conversation.id,
                    parent_id=None if message.parent is None else ids[message.parent],
                    role=message.role.value,
                    text=message.text,
                    reasoning=message.reasoning,
                    status=message.status,
                    created_at=message.created_at,
                )
            )
            if message.feedback is not None:
                value, comment = message.feedback
                rows.feedback.append(Feedback(message_id=id, value=value, comment=comment))
    return rows


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))


def _create(model: type[Model], rows: Sequence[Any]) -> None:
    model._default_manager.bulk_create(rows)


def _show(conversations: Sequence[uuid.UUID]) -> None:
    shown = sum(Conversation.objects.filter(id__in=part).update(stored=True) for part in _parts(conversations))
    if shown != len(conversations):
        raise Unavailable(_("The import took too long. Please try again."), retry_after=1)
