"""The bodies of requests and answers, for reading them and for the schema. Answers are the services' records."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import ConfigDict

from chat.api.texts import Key, Name, Text, Words, told
from chat.models.conversation import SYSTEM_CHARS
from chat.services.records import ConversationRecord, GenerationRecord, MessageRecord
from chat.services.requests import MAX_TOKENS_MOST
from chat.services.tokens import LOGIN_CHARS, PASSWORD_CHARS


class ErrorBody(Schema):
    error: str
    code: str
    details: dict[str, Any]


class ParamsBody(Schema):
    model_config = ConfigDict(extra="forbid")

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS_MOST)
    system: Annotated[Text, Field(max_length=SYSTEM_CHARS)] | None = None


class SendBody(Schema):
    """For the schema: the services check the fields themselves, the same for every transport."""

    message: Words
    conversation: Name | None = None
    parent: Name | None = None
    provider: Name | None = None
    model: Name | None = None
    images: list[str] | None = Field(None, max_length=0, description="This server does not take images yet.")
    params: ParamsBody | None = None
    workflow: None = Field(None, description="This server has no workflows yet.")
    key: Key | None = None


class RegenerateBody(Schema):
    provider: Text | None = None
    model: Text | None = None
    key: Key | None = None


class ProceedBody(Schema):
    key: Key | None = None


class StartBody(Schema):
    generation: str
    conversation: str
    user_message: str | None
    message: str
    provider: str
    model: str
    upstream: str


class ReplyBody(Schema):
    generation: GenerationRecord
    conversation: str
    user_message: MessageRecord | None
    message: MessageRecord


class FailedReplyBody(ErrorBody):
    retryable: bool
    generation: str
    text: str


class ConversationsBody(Schema):
    items: list[ConversationRecord]
    next: str | None


class MessagesBody(Schema):
    items: list[MessageRecord]
    next: str | None


class ModelBody(Schema):
    id: str
    label: str
    vision: bool
    reasoning: bool


class ProviderBody(Schema):
    id: str
    label: str
    kind: str
    upstream: str
    state: str
    models: list[ModelBody]


class ProvidersBody(Schema):
    items: list[ProviderBody]
    next: str | None


class CredentialsBody(Schema):
    username: Annotated[Text, told(maxLength=LOGIN_CHARS)]
    password: Annotated[Text, told(maxLength=PASSWORD_CHARS)]


class RefreshBody(Schema):
    refresh: str


class RevokeBody(Schema):
    refresh: Text | None = None


class SignOutEverywhereBody(Schema):
    api_keys: bool = False


class TokensBody(Schema):
    access: str
    refresh: str
    expires_in: int


class MeBody(Schema):
    id: str
    username: str
    email: str
    is_staff: bool
    language: str
