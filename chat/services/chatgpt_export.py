"""ChatGPT's export, `conversations.json`: an array of conversations, each with a `mapping` of nodes.

A node has `message` (or null), `parent` and `children`; `current_node` is the leaf that was shown last. What nobody saw
(system prompts, calls of tools and their answers, what is marked as hidden, what has no text) is left out unread, and
its children go to the nearest node above that is kept. OpenAI does not document the format; this is what its files
hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from chat.events import Status
from chat.models.conversation import TITLE_CHARS
from chat.models.message import Role
from chat.services.imported import (
    ImportedConversation,
    ImportedMessage,
    checked_list,
    checked_moment,
    checked_object,
    checked_text,
    parents_first,
    wrong,
)

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}

_MARK = re.compile("\ue200[^\ue200\ue201]*\ue201")
"""Of a source or a name, in an answer: its page shows something else in its place, the `alt` of its reference."""


def read_chatgpt(conversations: list[Any], text_chars: int | None) -> tuple[list[ImportedConversation], int]:
    """And how many messages were left out. Conversations without any message that is kept are left out too.
    Raises InvalidRequest, TooLarge."""
    read, skipped = [], 0
    for number, item in enumerate(conversations):
        conversation, left_out = _read_conversation(item, f"[{number}]", text_chars)
        skipped += left_out
        if conversation.messages:
            read.append(conversation)
    return read, skipped


def _read_conversation(item: Any, place: str, text_chars: int | None) -> tuple[ImportedConversation, int]:
    item = checked_object(item, place)
    mapping = checked_object(item.get("mapping"), f"{place}.mapping")
    created_at = checked_moment(item.get("create_time"), f"{place}.create_time", datetime.now(UTC))
    parents: dict[str, str | None] = {}
    kept: dict[str, ImportedMessage] = {}
    said = 0
    for key, node in mapping.items():
        here = f"{place}.mapping.{key[:100]}"
        node = checked_object(node, here)
        parent = node.get("parent")
        if parent is not None and (not isinstance(parent, str) or parent not in mapping):
            raise wrong(_("The parent of a message is missing."), f"{here}.parent")
        parents[key] = parent
        if node.get("message") is not None:
            said += 1
            message = _read_message(node["message"], f"{here}.message", key, created_at, text_chars)
            if message is not None:
                kept[key] = message
    _reattach(kept, parents, f"{place}.mapping")
    ordered = sorted(kept.values(), key=lambda message: message.created_at)
    shown = kept.get(_nearest_kept(item.get("current_node"), kept, parents) or "")
    if shown is not None and all(message.parent != shown.key for message in ordered):
        ordered = [*(message for message in ordered if message is not shown), shown]
    conversation = ImportedConversation(
        title=checked_text(item.get("title"), f"{place}.title", None)[:TITLE_CHARS],
        provider="",
        model="",
        system="",
        pinned=False,
        archived=item.get("is_archived") is True,
        created_at=created_at,
        updated_at=checked_moment(item.get("update_time"), f"{place}.update_time", created_at),
        messages=parents_first(ordered, f"{place}.mapping"),
        place=place,
    )
    return conversation, said - len(kept)


def _reattach(kept: dict[str, ImportedMessage], parents: dict[str, str | None], place: str) -> None:
    """Each to the nearest above that is kept. Raises InvalidRequest where there is no way up, but a circle."""
    nearest: dict[str | None, str | None] = {None: None}
    for key in parents:
        line: dict[str, None] = {}
        one: str | None = key
        while one not in nearest:
            assert one is not None
            if one in line:
                raise wrong(_("A message is its own ancestor."), place)
            line[one] = None
            one = parents[one]
        above = nearest[one]
        for passed in reversed(line):
            if passed in kept:
                kept[passed].parent = above
                above = passed
            nearest[passed] = above


def _nearest_kept(key: Any, kept: dict[str, ImportedMessage], parents: dict[str, str | None]) -> str | None:
    one = key if isinstance(key, str) and key in parents else None
    while one is not None and one not in kept:
        one = parents[one]
    return one


def _read_message(
    value: Any, place: str, key: str, otherwise: datetime, text_chars: int | None
) -> ImportedMessage | None:
    """None for what is left out."""
    message = checked_object(value, place)
    role = _ROLES.get(str(checked_object(message.get("author"), f"{place}.author").get("role")))
    metadata = message.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    hidden = metadata.get("is_visually_hidden_from_conversation") is True
    if role is None or hidden or message.get("recipient") not in (None, "all"):  # the last: a tool
        return None
    content = checked_object({} if message.get("content") is None else message["content"], f"{place}.content")
    created_at = checked_moment(message.get("create_time"), f"{place}.create_time", otherwise)
    text = _shown("\n\n".join(_texts(content, f"{place}.content", text_chars)), metadata)
    if not text.strip():
        return None
    return ImportedMessage(
        key=checked_text(key, place, None),
        parent=None,
        role=role,
        text=checked_text(text, f"{place}.content", text_chars),
        reasoning="",
        status=Status.COMPLETED.value,
        feedback=None,
        created_at=created_at,
    )


def _shown(text: str, metadata: dict[str, Any]) -> str:
    """With what stands for its marks."""
    if "\ue200" not in text:
        return text
    references = metadata.get("content_references")
    words = {
        mark: alt
        for reference in (references if isinstance(references, list) else [])
        if isinstance(reference, dict)
        and isinstance(mark := reference.get("matched_text"), str)
        and isinstance(alt := reference.get("alt"), str)
    }
    return _MARK.sub(lambda mark: words.get(mark[0], ""), text)


def _texts(content: dict[str, Any], place: str, text_chars: int | None) -> Iterator[str]:
    """Of its parts; pictures and sounds among them are left out, but what was transcribed of them is not."""
    if content.get("parts") is None:
        yield checked_text(content.get("text"), f"{place}.text", text_chars)
        return
    for number, part in enumerate(checked_list(content["parts"], f"{place}.parts")):
        text = part.get("text") if isinstance(part, dict) else part
        if text is None and isinstance(part, dict):
            continue
        if read := checked_text(text, f"{place}.parts[{number}]", text_chars):
            yield read
