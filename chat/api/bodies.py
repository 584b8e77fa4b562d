"""Reading a JSON body, with errors that say what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.utils.translation import gettext as _

from chat.errors import InvalidRequest, UnsupportedMedia


def json_object(request: HttpRequest, *, required: bool = True) -> dict[str, Any]:
    """Raises InvalidRequest, UnsupportedMedia. An empty body is an empty object where none is required."""
    body = request.body
    if not body and not required:
        return {}
    if request.content_type not in ("application/json", "text/json"):
        raise UnsupportedMedia(_("Send the body as application/json."))
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        raise _unreadable(body) from None
    if not isinstance(value, dict):
        raise InvalidRequest(_("The body must be a JSON object."))
    return value


def _unreadable(body: bytes) -> InvalidRequest:
    if b"\\ud" in body.lower():  # lone surrogates: JSON, but no text
        return InvalidRequest(_("The text contains characters that cannot be stored."), status=422)
    return InvalidRequest(_("The body is not JSON."))
