"""What is under `/v1`: the server as OpenAI's clients know one, with every refusal in OpenAI's shape."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja.errors import HttpError, ValidationError

from chat.api.authentication import authenticate_chat
from chat.api.replies import json_response
from chat.api.router import Api
from chat.api.wrong_fields import wrong_fields
from chat.dialects import openai_chat, openai_errors, openai_models, openai_responses
from chat.errors import RequestError

logger = logging.getLogger(__name__)

openai = Api(
    title="Chat, for OpenAI's clients",
    version="1",
    docs_url=None,
    openapi_url=None,
    urls_namespace="openai",
    auth=authenticate_chat,
)
openai.add_router("", openai_chat.router)
openai.add_router("", openai_models.router)
openai.add_router("", openai_responses.router)


@openai.exception_handler(RequestError)
def refuse(request: HttpRequest, error: RequestError) -> HttpResponse:
    return json_response(*openai_errors.refusal(error))


@openai.exception_handler(ValidationError)
def refuse_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    words = _("The request has wrong or missing fields.")
    field = next(iter(wrong_fields(error)), None)
    return json_response(400, openai_errors.error_body(words, openai_errors.INVALID_REQUEST, field))


@openai.exception_handler(HttpError)
def refuse_http(request: HttpRequest, error: HttpError) -> HttpResponse:
    return _plain(error.status_code, _("The request cannot be read."))


@openai.exception_handler(DatabaseError)
def database_away(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    logger.error("the database failed", exc_info=error)
    response = _plain(503, _("The server cannot reach its database. Please try again in a moment."))
    response.headers["Retry-After"] = "5"
    return response


@openai.exception_handler(Exception)
def fail(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("a request failed", exc_info=error)
    return _plain(500, _("Something went wrong on our side. Please try again."))


def _plain(status: int, words: str) -> HttpResponse:
    return json_response(status, openai_errors.plain_error(status, words))
