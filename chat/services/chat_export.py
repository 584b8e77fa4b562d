"""Our own format of an export, and how it is read again.

    {"format": "chat.export", "version": 1, "conversation": {…}, "messages": [{…}]}
    {"format": "chat.account", "version": 1, "profile": …, "conversations": [{"conversation", "messages"}]}

Messages are oldest first and name their parents: the whole tree. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.events import ENDED, Status
from chat.models import Conversation, Feedback, Message
from chat.models.conversation import SYSTEM_CHARS, TITLE_CHARS
from chat.models.feedback import COMMENT_CHARS
from chat.models.message import Role
from chat.services.imported import (
    ImportedConversation,
    ImportedMessage,
    checked_key,
    checked_list,
    checked_moment,
    checked_object,
    checked_switch,
    checked_text,
    parents_first,
    wrong,
)
from chat.services.requests import whole_number

CONVERSATION_FORMAT = "chat.export"
ACCOUNT_FORMAT = "chat.account"
VERSION = 1

_ENDED = {status.value for status in ENDED}
_ROLES = {role.value: role for role in Role}


def exported_conversation(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": str(conversation.id),
        "title": conversation.title,
        "provider": conversation.provider or None,
        "model": conversation.model or None,
        "system": conversation.system or None,
        "pinned": conversation.pinned,
        "archived": conversation.archived,
        "created_at": timestamp(conversation.created_at),
        "updated_at": timestamp(conversation.updated_at),
    }


def exported_message(message: Message, feedback: Feedback | None) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "parent": None if message.parent_id is None else str(message.parent_id),
        "role": message.role,
        "text": message.text,
        "reasoning": message.reasoning,
        "status": message.status,
        "feedback": None if feedback is None else {"value": feedback.value, "comment": feedback.comment},
        "created_at": timestamp(message.created_at),
    }


def read_export(document: dict[str, Any], text_chars: int | None) -> list[ImportedConversation]:
    """One conversation's, or an account's. Raises InvalidRequest, TooLarge."""
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise wrong(_("This server reads version %(version)d of this format.") % {"version": VERSION}, "version")
    if document["format"] == CONVERSATION_FORMAT:
        return [_read_conversation(document, "", text_chars)]
    conversations = checked_list(document.get("conversations"), "conversations")
    return [
        _read_conversation(item, f"conversations[{number}]", text_chars) for number, item in enumerate(conversations)
    ]


def _read_conversation(item: Any, place: str, text_chars: int | None) -> ImportedConversation:
    inside = f"{place}." if place else ""
    item = checked_object(item, place)
    fields = checked_object(item.get("conversation"), f"{inside}conversation")
    here = f"{inside}conversation."
    created_at = checked_moment(fields.get("created_at"), f"{here}created_at", datetime.now(UTC))
    messages = [
        _read_message(message, f"{inside}messages[{number}]", created_at, text_chars)
        for number, message in enumerate(checked_list(item.get("messages"), f"{inside}messages"))
    ]
    return ImportedConversation(
        title=checked_text(fields.get("title"), f"{here}title", TITLE_CHARS),
        provider=checked_text(fields.get("provider"), f"{here}provider", 100),
        model=checked_text(fields.get("model"), f"{here}model", 200),
        system=checked_text(fields.get("system"), f"{here}system", SYSTEM_CHARS),
        pinned=checked_switch(fields.get("pinned"), f"{here}pinned"),
        archived=checked_switch(fields.get("archived"), f"{here}archived"),
        created_at=created_at,
        updated_at=checked_moment(fields.get("updated_at"), f"{here}updated_at", created_at),
        messages=parents_first(messages, f"{inside}messages"),
        place=place,
    )


def _read_message(item: Any, place: str, otherwise: datetime, text_chars: int | None) -> ImportedMessage:
    item = checked_object(item, place)
    role, status, parent = item.get("role"), item.get("status"), item.get("parent")
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(_("This must be “user” or “assistant”."), f"{place}.role")
    feedback = _read_feedback(item.get("feedback"), f"{place}.feedback")
    return ImportedMessage(
        key=checked_key(item.get("id"), f"{place}.id"),
        parent=None if parent is None else checked_key(parent, f"{place}.parent"),
        role=_ROLES[role],
        text=checked_text(item.get("text"), f"{place}.text", text_chars),
        reasoning=checked_text(item.get("reasoning"), f"{place}.reasoning", text_chars),
        # What was still being written when it was exported is all that there is of it.
        status=status if isinstance(status, str) and status in _ENDED else Status.COMPLETED.value,
        feedback=feedback if role == Role.ASSISTANT else None,
        created_at=checked_moment(item.get("created_at"), f"{place}.created_at", otherwise),
    )


def _read_feedback(value: Any, place: str) -> tuple[int, str] | None:
    if value is None:
        return None
    fields = checked_object(value, place)
    judged = whole_number(fields.get("value"))
    if judged not in (1, -1):
        raise wrong(_("This must be 1 or -1."), f"{place}.value")
    return judged, checked_text(fields.get("comment"), f"{place}.comment", COMMENT_CHARS)
