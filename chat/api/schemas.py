"""The bodies of requests and answers, for reading them and for the schema. Answers are the services' records."""

from __future__ import annotations

from typing import Any

from ninja import Field, Schema

from chat.models.generation import KEY_CHARS
from chat.services.records import ConversationRecord, GenerationRecord, MessageRecord


class ErrorBody(Schema):
    error: str
    code: str
    details: dict[str, Any]


class ParamsBody(Schema):
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    system: str | None = None


class SendBody(Schema):
    """For the schema: the services check the fields themselves, the same for every transport."""

    message: str
    conversation: str | None = None
    parent: str | None = None
    provider: str | None = None
    model: str | None = None
    images: list[str] | None = None
    params: ParamsBody | None = None
    workflow: str | None = None
    key: str | None = Field(None, min_length=1, max_length=KEY_CHARS)


class RegenerateBody(Schema):
    provider: str | None = None
    model: str | None = None
    key: str | None = Field(None, min_length=1, max_length=KEY_CHARS)


class ProceedBody(Schema):
    key: str | None = Field(None, min_length=1, max_length=KEY_CHARS)


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
    username: str
    password: str


class RefreshBody(Schema):
    refresh: str


class RevokeBody(Schema):
    refresh: str | None = None


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
