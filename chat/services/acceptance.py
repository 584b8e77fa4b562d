"""Accepting a request for a reply: one transaction for all that must exist before the reply begins.

Synchronous functions for `Database.write`: they may run twice, the first time rolled back.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import F
from django.utils.translation import gettext as _

from chat.errors import Conflict, NotFound
from chat.events import StartData, Status
from chat.models import Conversation, Generation, Message
from chat.models.conversation import TITLE_CHARS
from chat.models.identifier import new_id
from chat.models.message import Role
from chat.providers.base import Turn
from chat.served_request import accept_generation, concerns
from chat.services.statements import insert

TITLE_WORDS_CHARS = 60
"""How much of the first message becomes the conversation's title."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who is to answer, and how: what a generation records of its upstream. Made in the context of the request."""

    provider: str
    model: str
    upstream: str
    params: dict[str, Any]
    system: str
    language: str
    worker: str
    traceparent: str = field(default_factory=accept_generation)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`start`: the fields of the start event. `known`: the key had been used; nothing new was made. `traceparent`: of
    the one that was known."""

    start: StartData
    epoch: int
    known: bool
    traceparent: str = ""

    def noted(self) -> Accepted:
        """Itself, once the request that asked is known to concern it."""
        concerns(self.start.generation, self.traceparent)
        return self


def digest(key: str | None, *parts: str) -> str:
    """Tells one request with a key from another; empty without a key."""
    return "" if key is None else hashlib.sha256("\0".join(parts).encode()).hexdigest()


def accept_send(
    user: uuid.UUID,
    conversation: uuid.UUID | None,
    parent: uuid.UUID | None,
    text: str,
    answerer: Answerer,
    key: str | None,
    history: Sequence[Turn] = (),
    stored: bool = True,
) -> Accepted:
    """A user's message, the empty message that answers it, and the generation, in a new conversation or in a given one.
    A new one begins with `history`, oldest first; it may be one that is not `stored`.

    Raises Conflict for a key that was used with another text, NotFound when the conversation has gone meanwhile.
    """
    request = digest(key, "send", text)
    if (known := _known(user, key, request)) is not None:
        return known
    now = datetime.now(UTC)
    if conversation is None:
        told = [*history, Turn("user", text)]
        conversation = _create_conversation(user, told, answerer, now, stored=stored)
        parent = tell(conversation, history, now)
    else:
        _touch_conversation(user, conversation, answerer, now, messages=2)
    question = new_id()
    insert(
        Message,
        DEFAULT_DB_ALIAS,
        id=question,
        conversation_id=conversation,
        parent_id=parent,
        role=Role.USER.value,
        text=text,
        created_at=now,
    )
    return _begin(user, conversation, question, None, answerer, key, request, now)


def accept_sibling(
    user: uuid.UUID, conversation: uuid.UUID, question: uuid.UUID, answerer: Answerer, key: str | None
) -> Accepted:
    """Another answer to a user's message that has one."""
    request = digest(key, "regenerate", str(question))
    if (known := _known(user, key, request)) is not None:
        return known
    now = datetime.now(UTC)
    _touch_conversation(user, conversation, answerer, now, messages=1)
    return _begin(user, conversation, question, None, answerer, key, request, now)


def accept_continuation(user: uuid.UUID, message: uuid.UUID, answerer: Answerer, key: str | None) -> Accepted:
    """The same message goes on where its last generation ended."""
    request = digest(key, "continue", str(message))
    if (known := _known(user, key, request)) is not None:
        return known
    now = datetime.now(UTC)
    try:
        answer = Message.objects.get(id=message, conversation__user_id=user)
    except Message.DoesNotExist:
        raise NotFound(_("This message does not exist.")) from None
    if Generation.objects.live().filter(message=answer).exists():
        raise Conflict(_("This answer is still being written."))
    _touch_conversation(user, answer.conversation_id, answerer, now, messages=0)
    return _begin(user, answer.conversation_id, answer.parent_id, answer, answerer, key, request, now)


def known_request(user: uuid.UUID, key: str) -> Accepted | None:
    """What a key has started, if it was used."""
    generation = Generation.objects.filter(user_id=user, key=key).first()
    return None if generation is None else _accepted_before(generation)


def _known(user: uuid.UUID, key: str | None, request: str) -> Accepted | None:
    if key is None:
        return None
    generation = Generation.objects.filter(user_id=user, key=key).first()
    if generation is None:
        return None
    if generation.request_digest != request:
        raise Conflict(_("This key was used for another message. Use a new key for each message."))
    return _accepted_before(generation)


def _create_conversation(
    user: uuid.UUID, told: Sequence[Turn], answerer: Answerer, now: datetime, *, stored: bool
) -> uuid.UUID:
    """`told`: what is said in it before the answer."""
    conversation = new_id()
    insert(
        Conversation,
        DEFAULT_DB_ALIAS,
        id=conversation,
        user_id=user,
        title=title_of(opening_of(told)),
        provider=answerer.provider,
        model=answerer.model,
        system=answerer.system,
        stored=stored,
        message_count=len(told) + 1,
        created_at=now,
        updated_at=now,
    )
    return conversation


def tell(conversation: uuid.UUID, history: Sequence[Turn], now: datetime) -> uuid.UUID | None:
    """The first messages of a conversation, one below the other; gives the last one's id."""
    parent = None
    for turn in history:
        message = new_id()
        insert(
            Message,
            DEFAULT_DB_ALIAS,
            id=message,
            conversation_id=conversation,
            parent_id=parent,
            role=turn.role,
            text=turn.text,
            created_at=now,
        )
        parent = message
    return parent


def _touch_conversation(
    user: uuid.UUID, conversation: uuid.UUID, answerer: Answerer, now: datetime, *, messages: int
) -> None:
    changed = Conversation.objects.filter(id=conversation, user_id=user).update(
        provider=answerer.provider,
        model=answerer.model,
        message_count=F("message_count") + messages,
        updated_at=now,
    )
    if changed != 1:
        raise NotFound(_("This conversation does not exist."))


def _begin(
    user: uuid.UUID,
    conversation: uuid.UUID,
    question: uuid.UUID | None,
    answer: Message | None,
    answerer: Answerer,
    key: str | None,
    request: str,
    now: datetime,
) -> Accepted:
    generation_id = new_id()
    if answer is None:
        answer_id, text_offset, reasoning_offset = new_id(), 0, 0
        insert(
            Message,
            DEFAULT_DB_ALIAS,
            id=answer_id,
            conversation_id=conversation,
            parent_id=question,
            role=Role.ASSISTANT.value,
            status=Status.QUEUED.value,
            latest_generation=generation_id,
            created_at=now,
        )
    else:
        answer_id, text_offset, reasoning_offset = answer.id, len(answer.text), len(answer.reasoning)
        answer.status, answer.latest_generation = Status.QUEUED.value, generation_id
        answer.save(update_fields=["status", "latest_generation"])
    epoch = 1
    insert(
        Generation,
        DEFAULT_DB_ALIAS,
        id=generation_id,
        user_id=user,
        conversation_id=conversation,
        message_id=answer_id,
        user_message_id=question,
        provider=answerer.provider,
        model=answerer.model,
        upstream=answerer.upstream,
        params=answerer.params,
        language=answerer.language,
        seq=1,
        owner=answerer.worker,
        heartbeat=now,
        epoch=epoch,
        traceparent=answerer.traceparent,
        text_offset=text_offset,
        reasoning_offset=reasoning_offset,
        key=key,
        request_digest=request,
        created_at=now,
    )
    start = StartData(
        str(generation_id),
        str(conversation),
        None if question is None else str(question),
        str(answer_id),
        answerer.provider,
        answerer.model,
        answerer.upstream,
    )
    return Accepted(start, epoch, False)


def _accepted_before(generation: Generation) -> Accepted:
    return Accepted(start_of(generation), generation.epoch, True, generation.traceparent)


def start_of(generation: Generation) -> StartData:
    """As it was given first: with who was asked, whoever answers by now."""
    provider, model, upstream = _asked_of(generation)
    return StartData(
        str(generation.id),
        str(generation.conversation_id),
        None if generation.user_message_id is None else str(generation.user_message_id),
        str(generation.message_id),
        provider,
        model,
        upstream,
    )


def _asked_of(generation: Generation) -> tuple[str, str, str]:
    """Provider, model and upstream: the row has who answers, and the note of a fallback has both."""
    for note in generation.notes:
        if note["note"] == "fallback" and "asked_upstream" in note["details"]:
            details = note["details"]
            return details["asked"], details["asked_model"], details["asked_upstream"]
    return generation.provider, generation.model, generation.upstream


def opening_of(told: Sequence[Turn]) -> str:
    """What the user said first."""
    return next(turn.text for turn in told if turn.role == "user")


def title_of(text: str) -> str:
    words = " ".join(text.split())
    title = words if len(words) <= TITLE_WORDS_CHARS else words[: TITLE_WORDS_CHARS - 1].rstrip() + "…"
    return title[:TITLE_CHARS]
