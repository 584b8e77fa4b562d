"""Reading a JSON body, with errors that say what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.utils.translation import gettext as _
from pydantic import BaseModel

from chat.errors import InvalidRequest, UnsupportedMedia


def json_object(request: HttpRequest, *, required: bool = True) -> dict[str, Any]:
    """Raises InvalidRequest, UnsupportedMedia. An empty body is an empty object where none is required."""
    if not request.body and not required:
        return {}
    value = decoded(json_body(request))
    if not isinstance(value, dict):
        raise InvalidRequest(_("The body must be a JSON object."))
    return value


def json_body(request: HttpRequest) -> bytes:
    """As it came. Raises UnsupportedMedia."""
    if request.content_type not in ("application/json", "text/json"):
        raise UnsupportedMedia(_("Send the body as application/json."))
    return request.body


def decoded(body: bytes) -> Any:
    """Raises InvalidRequest."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last of arrays in arrays in arrays
        raise _unreadable(body) from None


def described(body: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """For the schema: the body of an operation that reads it by itself."""
    content = {"application/json": {"schema": body.model_json_schema(ref_template="#/components/schemas/{model}")}}
    return {"requestBody": {"required": required, "content": content}}


def _unreadable(body: bytes) -> InvalidRequest:
    if b"\\ud" in body.lower():  # lone surrogates: JSON, but no text
        return InvalidRequest(_("The text contains characters that cannot be stored."), status=422)
    return InvalidRequest(_("The body is not JSON."))
