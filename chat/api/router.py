"""The API as a whole: its routers, its schema, and one shape for every error."""

from __future__ import annotations

import logging
from typing import cast

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from chat.api import auth, conversations, generations, providers
from chat.api.authentication import authenticate
from chat.api.replies import json_response
from chat.errors import RequestError

logger = logging.getLogger(__name__)


class Api(NinjaAPI):
    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """What a view's value would be put into: most views answer by themselves and need none."""
        make = super().create_temporal_response
        return cast(HttpResponse, SimpleLazyObject(lambda: make(request)))


api = Api(
    title="Chat",
    version="1",
    description="Chat with AIs: send messages, follow replies by cursor, over SSE or as JSON.",
    docs_url="/docs",
    openapi_url="/openapi.json",
    urls_namespace="api",
    auth=authenticate,
)
api.add_router("/v1", generations.router)
api.add_router("/v1/conversations", conversations.router)
api.add_router("/v1/providers", providers.router)
api.add_router("/v1", auth.router)


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
    fields = [".".join(str(part) for part in item.get("loc", ())[2:]) for item in error.errors]
    return _error(422, "INVALID_REQUEST", _("The request has wrong or missing fields."), {"fields": fields})


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
