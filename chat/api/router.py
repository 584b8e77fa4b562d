"""The API as a whole: its routers, its schema, and one shape for every error."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, ClassVar, cast

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from chat.api import (
    account,
    api_keys,
    auth,
    conversations,
    generations,
    messages,
    providers,
    search,
    transfers,
    webhooks,
)
from chat.api.authentication import authenticate, authenticate_account, authenticate_chat
from chat.api.docs_page import DocsPage
from chat.api.openapi import document
from chat.api.replies import json_response
from chat.api.wrong_fields import field_details
from chat.dialects import ag_ui, generate, seed_chat, ui_message
from chat.errors import RequestError
from chat.websocket.asyncapi import document as socket_document

logger = logging.getLogger(__name__)


class Api(NinjaAPI):
    """A part of the API; one description has them all."""

    parts: ClassVar[list[Api]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.parts.append(self)

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The file and the function: they are what people call it."""
        return f"{operation.view_func.__module__.rpartition('.')[2]}_{operation.view_func.__name__}"

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Of all parts, whichever is asked."""
        return cast(OpenAPISchema, whole_document())

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """What a view's value would be put into: most views answer by themselves and need none."""
        make = super().create_temporal_response
        return cast(HttpResponse, SimpleLazyObject(lambda: make(request)))


@cache
def whole_document() -> dict[str, Any]:
    _ = get_resolver().url_patterns  # by which all parts are there
    return document(Api.parts)


api = Api(
    title="Chat",
    version="1",
    description="Chat with AIs: send messages, follow replies by cursor, over SSE or as JSON.",
    docs=DocsPage(),
    docs_url="/docs",
    openapi_url="/openapi.json",
    urls_namespace="api",
    auth=authenticate,
)
api.add_router("/v1", generations.router, auth=authenticate_chat)
api.add_router("/v1/conversations", transfers.router, auth=authenticate_chat)  # `import` is no id
api.add_router("/v1/conversations", conversations.router, auth=authenticate_chat)
api.add_router("/v1/messages", messages.router, auth=authenticate_chat)
api.add_router("/v1", search.router)
api.add_router("/v1/providers", providers.router)
api.add_router("/v1/ui", ui_message.router, auth=authenticate_chat)
api.add_router("/v1/ag-ui", ag_ui.router, auth=authenticate_chat)
api.add_router("/v1/ai", generate.router, auth=authenticate_chat)
api.add_router("", seed_chat.router, auth=authenticate_chat)
api.add_router("/v1/webhooks", webhooks.router, auth=authenticate_account)
api.add_router("/v1", auth.router)
api.add_router("/v1", account.router)
api.add_router("/v1/api-keys", api_keys.router, auth=authenticate_account)


@api.get("/asyncapi.json", auth=None, include_in_schema=False)
async def asyncapi(request: HttpRequest) -> HttpResponse:
    """The description of the socket."""
    return json_response(200, socket_document(api.version))


def _error(status: int, code: str, words: str, details: dict[str, object] | None = None) -> HttpResponse:
    return json_response(status, {"error": words, "code": code, "details": details or {}})


@api.exception_handler(RequestError)
def refuse(request: HttpRequest, error: RequestError) -> HttpResponse:
    response = _error(error.status, error.code, _(error.message), dict(error.details))
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(ValidationError)
def refuse_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return _error(422, "INVALID_REQUEST", _("The request has wrong or missing fields."), field_details(error))


@api.exception_handler(HttpError)
def refuse_http(request: HttpRequest, error: HttpError) -> HttpResponse:
    status = error.status_code
    return _error(status, "INVALID_REQUEST" if status < 500 else "UNAVAILABLE", _("The request cannot be read."))


@api.exception_handler(DatabaseError)
def database_away(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    logger.error("the database failed", exc_info=error)
    response = _error(503, "UNAVAILABLE", _("The server cannot reach its database. Please try again in a moment."))
    response.headers["Retry-After"] = "5"
    return response


@api.exception_handler(Exception)
def fail(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("a request failed", exc_info=error)
    return _error(500, "INTERNAL", _("Something went wrong on our side. Please try again."))
