"""Exports: a conversation as JSON or as Markdown, and all that an account has, page by page.

Each is an asynchronous iterator of pieces in UTF-8: never more than one page is in memory, and between pages nothing is
held, neither a thread nor a connection.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.models import ApiKey, Conversation, Feedback, Message, User, Webhook
from chat.models.message import Role
from chat.services import access
from chat.services.chat_export import (
    ACCOUNT_FORMAT,
    CONVERSATION_FORMAT,
    VERSION,
    exported_conversation,
    exported_message,
)
from chat.services.database import Database

PAGE_MESSAGES = 20
"""Read at once: a reply may be megabytes."""
PAGE_CONVERSATIONS = 100
NAME_CHARS = 80

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028-\u202f\u2066-\u2069\ufeff<>:"/\\|?*]+')

Json = dict[str, Any]


class Exports:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversation(self, user: uuid.UUID, conversation: str) -> Conversation:
        """What the other methods want. Raises NotFound."""
        return await self._database.read(access.conversation, user, conversation)

    async def json(self, conversation: Conversation) -> AsyncIterator[bytes]:
        """`chat.export`, as `chat_export` describes it."""
        yield _opened({"format": CONVERSATION_FORMAT, "version": VERSION})
        async for piece in self._document(conversation):
            yield piece

    async def markdown(self, conversation: Conversation) -> AsyncIterator[bytes]:
        """The branch that its reader saw last: a heading for each message, then its text as it is."""
        title = " ".join(conversation.title.split()) or _("Conversation")
        yield f"# {title}\n".encode()
        headings = {Role.USER.value: _("User"), Role.ASSISTANT.value: _("Assistant")}
        branch = await self._database.read(_branch, conversation.id)
        for start in range(0, len(branch), PAGE_MESSAGES):
            page = branch[start : start + PAGE_MESSAGES]
            for role, text in await self._database.read(_said, page):
                yield f"\n## {headings[role]}\n\n{_closed(text)}\n".encode()

    async def account(self, user: uuid.UUID) -> AsyncIterator[bytes]:
        """`chat.account`: the profile, API keys and webhooks without their secrets, and all conversations."""
        yield _opened({"format": ACCOUNT_FORMAT, "version": VERSION, **await self._database.read(_belongings, user)})
        yield b'"conversations":['
        last: uuid.UUID | None = None
        separator = b"{"
        while page := await self._database.read(_conversations, user, last):
            for conversation in page:
                yield separator
                async for piece in self._document(conversation):
                    yield piece
                separator = b",{"
            last = page[-1].id
        yield b"]}"

    async def _document(self, conversation: Conversation) -> AsyncIterator[bytes]:
        """The conversation and its messages, up to the closing brace."""
        yield b'"conversation":' + msgspec.json.encode(exported_conversation(conversation)) + b',"messages":['
        last: uuid.UUID | None = None
        separator = b""
        while page := await self._database.read(_messages, conversation.id, last):
            yield separator + b",".join([msgspec.json.encode(message) for message in page])
            separator = b","
            last = uuid.UUID(page[-1]["id"])
        yield b"]}"


def file_name(conversation: Conversation, ending: str) -> str:
    """Of its title: what every system takes as the name of a file."""
    name = " ".join(_NOT_IN_NAMES.sub(" ", conversation.title).split())[:NAME_CHARS].strip(". ")
    return f"{name or 'conversation'}.{ending}"


def _opened(fields: Json) -> bytes:
    """An object that goes on."""
    return msgspec.json.encode(fields)[:-1] + b","


def _conversations(user: uuid.UUID, after: uuid.UUID | None) -> list[Conversation]:
    rows = Conversation.objects.filter(user_id=user, stored=True)
    if after is not None:
        rows = rows.filter(id__gt=after)
    return list(rows.order_by("id")[:PAGE_CONVERSATIONS])


def _messages(conversation: uuid.UUID, after: uuid.UUID | None) -> list[Json]:
    rows = Message.objects.filter(conversation_id=conversation)
    if after is not None:
        rows = rows.filter(id__gt=after)
    page = list(rows.order_by("id")[:PAGE_MESSAGES])
    feedback = Feedback.objects.in_bulk([message.id for message in page])
    return [exported_message(message, feedback.get(message.id)) for message in page]


def _branch(conversation: uuid.UUID) -> list[uuid.UUID]:
    """From the first message to the newest."""
    parents = dict(Message.objects.filter(conversation_id=conversation).values_list("id", "parent_id"))
    branch: list[uuid.UUID] = []
    one = max(parents, default=None)
    while one is not None:
        branch.append(one)
        one = parents.get(one)
    return branch[::-1]


def _said(ids: Sequence[uuid.UUID]) -> list[tuple[str, str]]:
    """Role and text, in this order."""
    rows = {id: (role, text) for id, role, text in Message.objects.filter(id__in=ids).values_list("id", "role", "text")}
    return [rows[id] for id in ids if id in rows]


def _closed(text: str) -> str:
    """A block of code that its end has left open would take in all that follows."""
    fence = ""
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line.rstrip("\r"))
        if match is None:
            continue
        mark, rest = match.groups()
        if not fence:
            fence = mark if mark[0] == "~" or "`" not in rest else ""
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    text = text.rstrip("\r\n")
    return f"{text}\n{fence}" if fence else text


def _belongings(user: uuid.UUID) -> Json:
    account = User.objects.get(id=user)
    return {
        "profile": {
            "id": str(account.id),
            "username": account.username,
            "email": account.email,
            "language": account.language or None,
            "number": account.number,
            "date_joined": timestamp(account.date_joined),
            "last_login": None if account.last_login is None else timestamp(account.last_login),
        },
        "api_keys": [
            {
                "id": str(key.id),
                "name": key.name,
                "prefix": key.prefix,
                "scopes": key.scopes,
                "created_at": timestamp(key.created_at),
                "last_used_at": None if key.last_used_at is None else timestamp(key.last_used_at),
                "expires_at": None if key.expires_at is None else timestamp(key.expires_at),
            }
            for key in ApiKey.objects.filter(user_id=user).order_by("id")
        ],
        "webhooks": [
            {"id": str(hook.id), "url": hook.url, "events": hook.events, "created_at": timestamp(hook.created_at)}
            for hook in Webhook.objects.filter(user_id=user).order_by("id")
        ],
    }
