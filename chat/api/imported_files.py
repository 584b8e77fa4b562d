"""The files that an import takes, for the schema: they are read field by field, with errors that name the place."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Field, Schema
from pydantic import RootModel

from chat.api.texts import STORABLE, Key, Text, told
from chat.models.conversation import SYSTEM_CHARS, TITLE_CHARS
from chat.models.feedback import COMMENT_CHARS

LATEST = 253402300799
"""The last second of the year 9999."""

Moment = datetime | Annotated[float, Field(ge=0, le=LATEST)] | None
"""After 1970: ISO 8601 with its offset, or seconds."""


class ImportedFeedbackBody(Schema):
    value: Literal[1, -1]
    comment: Annotated[Text, Field(max_length=COMMENT_CHARS)] | None = None


class ImportedMessageBody(Schema):
    """`parent`: the id of another one. Feedback of a user's message is left out."""

    id: Key
    parent: Key | None = None
    role: Literal["user", "assistant"]
    text: Text | None = None
    reasoning: Text | None = None
    status: Any = None
    feedback: ImportedFeedbackBody | None = None
    created_at: Moment = None


class ImportedConversationBody(Schema):
    title: Annotated[Text, Field(max_length=TITLE_CHARS)] | None = None
    provider: Annotated[Text, Field(max_length=100)] | None = None
    model: Annotated[Text, Field(max_length=200)] | None = None
    system: Annotated[Text, Field(max_length=SYSTEM_CHARS)] | None = None
    pinned: bool | None = None
    archived: bool | None = None
    created_at: Moment = None
    updated_at: Moment = None


class ImportedTreeBody(Schema):
    """A conversation and its messages, each of which may have another one as its parent."""

    conversation: ImportedConversationBody
    messages: list[ImportedMessageBody]


class ImportedExportBody(ImportedTreeBody):
    """What `GET /conversations/{id}/export` has given."""

    format: Literal["chat.export"]
    version: Literal[1]


class ImportedAccountBody(Schema):
    """What `GET /me/export` has given: its conversations are taken, and nothing else of it."""

    format: Literal["chat.account"]
    version: Literal[1]
    conversations: list[ImportedTreeBody]


class ChatGPTPart(Schema):
    text: Text | None = None


class ChatGPTParts(Schema):
    parts: list[Text | ChatGPTPart | None]


class ChatGPTText(Schema):
    parts: None = None
    text: Text | None = None


class ChatGPTSpeaker(Schema):
    role: Literal["user", "assistant"]


class ChatGPTMessage(Schema):
    author: ChatGPTSpeaker
    content: ChatGPTParts | ChatGPTText | None = None
    create_time: Moment = None


class ChatGPTOther(Schema):
    """Which its reader has not seen; it is left out."""

    author: Annotated[dict[str, Any], told(properties={"role": {"not": {"enum": ["user", "assistant"]}}})]


class ChatGPTNode(Schema):
    """`parent`: the name of another node."""

    parent: str | None = None
    message: ChatGPTMessage | ChatGPTOther | None = None


class ChatGPTConversation(Schema):
    title: Text | None = None
    create_time: Moment = None
    update_time: Moment = None
    mapping: Annotated[dict[str, ChatGPTNode], told(propertyNames={"pattern": STORABLE})]


class ImportBody(RootModel[ImportedExportBody | ImportedAccountBody | list[ChatGPTConversation]]):
    """An export of this server, or ChatGPT's `conversations.json`."""
