"""Conversations by the names that clients give them: of each user and wire format, any text is the name of one.

The first use of a name makes its conversation, which begins with what the client says was said before. A client has its
own picture of the conversation, as a list of messages; where the next one stands in ours, `client_turns` finds out.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import IntegrityError
from django.utils.translation import gettext as _

from chat.errors import Conflict, NotFound, RequestError
from chat.events import StartData
from chat.models import ClientThread, Conversation, Generation, Message
from chat.models.client_thread import THREAD_CHARS
from chat.providers.base import Turn as Said
from chat.services import client_turns
from chat.services.acceptance import opening_of, start_of, tell, title_of
from chat.services.client_turns import Place, Turn
from chat.services.database import Database
from chat.services.records import MessageRecord, message_record
from chat.services.requests import check_text
from chat.services.sending import Author, Send, Sending, Started

BRANCH_MOST = 200
"""Messages of a conversation that a client is given at once: as many as a page of them has."""

Told = Callable[[], Sequence[Said]]
"""What was said in a conversation before its first message here, oldest first: asked for where it is made."""


@dataclass(frozen=True, slots=True)
class Thread:
    """`format`: the wire format, whose names are its own; `name`: as the client has it."""

    user: uuid.UUID
    format: str
    name: str


@dataclass(frozen=True, slots=True)
class Live:
    """A reply that is being written. `text`, `reasoning`: of the same message, from before it was continued."""

    start: StartData
    text: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class Branch:
    """The conversation, and the newest messages of its newest branch, oldest first."""

    conversation: str
    messages: list[MessageRecord]


class ClientThreads:
    def __init__(self, *, database: Database, sending: Sending) -> None:
        self._database = database
        self._sending = sending

    async def send(self, author: Author, thread: Thread, send: Send) -> Started:
        """To the end of the conversation of that name; `send.conversation` is not looked at. Raises RequestError."""
        return await self._begin(author, thread, send, lambda: self._find_end(thread), tuple)

    async def take_turn(self, author: Author, thread: Thread, turn: Turn, send: Send, told: Told) -> Started:
        """The same, where the client's own list of messages has it. `send`: its text, and how it is to be answered.
        Raises RequestError."""
        return await self._begin(author, thread, send, lambda: self._find_place(thread, turn, send.key), told)

    async def live(self, thread: Thread) -> Live | None:
        """The latest of those that are being written; None also where there is no such thread."""
        return await self._database.read(_live, thread) if _is_name(thread.name) else None

    async def check_exists(self, thread: Thread) -> None:
        """Raises NotFound."""
        if not _is_name(thread.name) or await self._database.read(_conversation, thread) is None:
            raise _no_such_thread()

    async def branch(self, thread: Thread) -> Branch:
        """Raises NotFound."""
        branch = await self._database.read(_branch, thread) if _is_name(thread.name) else None
        if branch is None:
            raise _no_such_thread()
        return branch

    async def _find_end(self, thread: Thread) -> Place | None:
        conversation = await self._database.read(_conversation, thread)
        return None if conversation is None else Place(conversation)

    async def _find_place(self, thread: Thread, turn: Turn, key: str | None) -> Place | None:
        conversation = await self._database.read(_conversation, thread)
        if conversation is None:
            return None
        return await self._database.read(client_turns.place, thread.user, conversation, turn, key)

    async def _begin(
        self, author: Author, thread: Thread, send: Send, find: Callable[[], Awaitable[Place | None]], told: Told
    ) -> Started:
        """Once more where the conversation has been deleted in between: its name is free then."""
        check_name(thread.name)
        try:
            return await self._begin_once(author, thread, send, find, told)
        except NotFound:
            if await find() is not None:
                raise
            return await self._begin_once(author, thread, send, find, told)

    async def _begin_once(
        self, author: Author, thread: Thread, send: Send, find: Callable[[], Awaitable[Place | None]], told: Told
    ) -> Started:
        place = await find()
        if place is not None:
            return await self._send_to(author, place, send)
        said = told()
        conversation, made = await self._bind(thread, send, said)
        try:
            return await self._send_to(author, Place(conversation), send)
        except RequestError:
            if made:
                await self._database.write(_delete_unused, conversation, len(said))
            raise

    async def _send_to(self, author: Author, place: Place, send: Send) -> Started:
        if place.again is not None:
            return await self._sending.regenerate(
                author, str(place.again), send.provider, send.model, send.key, send.params, send.system
            )
        if place.instead_of is not None:
            return await self._sending.edit(author, str(place.instead_of), send)
        parent = None if place.parent is None else str(place.parent)
        return await self._sending.send(author, replace(send, conversation=str(place.conversation), parent=parent))

    async def _bind(self, thread: Thread, send: Send, said: Sequence[Said]) -> tuple[uuid.UUID, bool]:
        """The conversation, and whether it was made here: of two first uses at once, one makes it."""
        try:
            return await self._database.write(_bind, thread, said, send.message, send.system or "")
        except IntegrityError:  # another worker's was first
            conversation = await self._database.read(_conversation, thread)
            if conversation is None:
                raise Conflict(_("The conversation changed meanwhile. Please try again.")) from None
            return conversation, False


def check_name(name: str) -> None:
    """Raises InvalidRequest, TooLarge for what can be no name."""
    check_text(name, "id", THREAD_CHARS)


def _no_such_thread() -> NotFound:
    return NotFound(_("This conversation does not exist."))


def _is_name(name: str) -> bool:
    """No thread is called otherwise."""
    try:
        check_name(name)
    except RequestError:
        return False
    return True


def _threads(thread: Thread) -> ClientThread | None:
    return ClientThread.objects.filter(user_id=thread.user, format=thread.format, name=thread.name).first()


def _conversation(thread: Thread) -> uuid.UUID | None:
    bound = _threads(thread)
    return None if bound is None else bound.conversation_id


def _bind(thread: Thread, said: Sequence[Said], text: str, system: str) -> tuple[uuid.UUID, bool]:
    if (bound := _threads(thread)) is not None:
        return bound.conversation_id, False
    now = datetime.now(UTC)
    conversation = Conversation.objects.create(
        user_id=thread.user,
        title=title_of(opening_of([*said, Said("user", text)])),
        system=system,
        message_count=len(said),
        created_at=now,
        updated_at=now,
    )
    tell(conversation.id, said, now)
    ClientThread.objects.create(
        user_id=thread.user, format=thread.format, name=thread.name, conversation_id=conversation.id
    )
    return conversation.id, True


def _delete_unused(conversation: uuid.UUID, told: int) -> None:
    """Whose first message was refused, unless another one has come meanwhile. `told`: messages that it began with."""
    unused = Conversation.objects.select_for_update().filter(id=conversation, message_count=told).first()
    if unused is not None:
        unused.delete()


def _live(thread: Thread) -> Live | None:
    conversation = _conversation(thread)
    if conversation is None:
        return None
    generation = Generation.objects.live().filter(conversation_id=conversation).order_by("-id").first()
    if generation is None:
        return None
    text = reasoning = ""
    if generation.text_offset or generation.reasoning_offset:
        message = Message.objects.only("text", "reasoning").get(id=generation.message_id)
        text, reasoning = message.text[: generation.text_offset], message.reasoning[: generation.reasoning_offset]
    return Live(start_of(generation), text, reasoning)


def _branch(thread: Thread) -> Branch | None:
    conversation = _conversation(thread)
    if conversation is None:
        return None
    path = client_turns.newest_branch(conversation)[:BRANCH_MOST]
    rows = {row.id: row for row in Message.objects.filter(id__in=path)}
    return Branch(str(conversation), [message_record(rows[id], ()) for id in reversed(path) if id in rows])
