"""A conversation as it was spoken: the newest page of its messages, or an earlier one; what is known of each reply."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models.functions import Length, Substr

from chat.admin.note_words import note_lines
from chat.models import Conversation, Generation, Message

MESSAGES_A_PAGE = 200
"""A thread may have thousands of messages; a page of them is read at once."""
CHARS_A_MESSAGE = 20_000
"""A reply may have millions of characters; the page shows its beginning, the message's own page has all."""


@dataclass(frozen=True, slots=True)
class Turn:
    """`generation` is None for a user's message, and for a reader who may not see generations; `notes`: told beside it,
    in words."""

    message: Message
    text: str
    reasoning: str
    cut: int
    generation: Generation | None
    notes: list[str]
    branch: bool


def page_of(conversation: Conversation, number: Any, *, with_generations: bool) -> tuple[Page[Any], list[Turn]]:
    """Page 1 has the newest messages; each page its oldest first. A number that is no page means the nearest one."""
    messages = (
        Message.objects.filter(conversation=conversation)
        .defer("text", "reasoning")
        .annotate(
            text_start=Substr("text", 1, CHARS_A_MESSAGE),
            text_chars=Length("text"),
            reasoning_start=Substr("reasoning", 1, CHARS_A_MESSAGE),
        )
        .order_by("-id")
    )
    page = Paginator(messages, MESSAGES_A_PAGE).get_page(number)
    shown = list(page.object_list)[::-1]
    generations = _generations(shown) if with_generations else {}
    return page, [_turn(message, before, generations) for before, message in zip([None, *shown], shown, strict=False)]


def _generations(messages: Iterable[Message]) -> dict[uuid.UUID, Generation]:
    wanted = [message.latest_generation for message in messages if message.latest_generation is not None]
    return Generation.objects.in_bulk(wanted)


def _turn(message: Any, before: Message | None, generations: dict[uuid.UUID, Generation]) -> Turn:
    text = message.text_start or ""
    generation = generations.get(message.latest_generation)
    return Turn(
        message=message,
        text=text,
        reasoning=message.reasoning_start or "",
        cut=max(0, (message.text_chars or 0) - len(text)),
        generation=generation,
        notes=[] if generation is None else note_lines(generation.notes),
        branch=before is not None and message.parent_id != before.id,
    )
