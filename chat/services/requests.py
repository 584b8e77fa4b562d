"""What is a valid message, whatever transport it came by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from chat.errors import InvalidRequest, TooLarge
from chat.models.conversation import SYSTEM_CHARS
from chat.models.generation import KEY_CHARS
from chat.providers.base import Params
from chat.services.sending import Send

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: no database takes them, and no client means them."""

PARAMS = frozenset({"temperature", "top_p", "max_tokens", "system"})
MAX_TOKENS_MOST = 10_000_000


def check_text(value: Any, name: str, limit: int | None) -> str:
    """A text of the request, or InvalidRequest (422), TooLarge (413)."""
    if not isinstance(value, str):
        raise _invalid(_("This must be a text."), name)
    if _UNSTORABLE.search(value):
        raise _invalid(_("The text contains characters that cannot be stored."), name)
    if limit is not None and len(value) > limit:
        raise TooLarge(
            _("The text is too long: %(length)d characters of at most %(limit)d.")
            % {"length": len(value), "limit": limit},
            {"field": name, "limit": limit},
        )
    return value


def parse_send(fields: Mapping[str, Any], *, message_chars: int | None, header_key: str | None = None) -> Send:
    """The fields of a send, as JSON values, to a checked `Send`. `text` may stand for `message`."""
    message = check_text(fields.get("message", fields.get("text")) or "", "message", message_chars)
    if not message.strip():
        raise _invalid(_("Please write a message."), "message")
    system = None
    params = fields.get("params")
    if params is not None:
        if not isinstance(params, Mapping):
            raise _invalid(_("This must be an object."), "params")
        if params.get("system") is not None:
            system = check_text(params["system"], "params.system", SYSTEM_CHARS)
    if fields.get("images") not in (None, []):
        raise _invalid(_("This server does not take images."), "images")
    if fields.get("workflow") is not None:
        raise _invalid(_("There is no such workflow."), "workflow")
    return Send(
        message,
        conversation=_optional(fields, "conversation"),
        parent=_optional(fields, "parent"),
        provider=_optional(fields, "provider"),
        model=_optional(fields, "model"),
        params=parse_params(params or {}),
        system=system,
        key=chosen_key(fields.get("key"), header_key),
    )


def parse_params(params: Mapping[str, Any]) -> Params:
    for name in params:
        if name not in PARAMS:
            raise _invalid(_("There is no such parameter."), f"params.{name}")
    max_tokens = params.get("max_tokens")
    if max_tokens is not None:
        max_tokens = whole_number(max_tokens)
        if max_tokens is None or not 0 < max_tokens <= MAX_TOKENS_MOST:
            raise _invalid(_("This must be a positive whole number."), "params.max_tokens")
    return Params(_number(params, "temperature", 2.0), _number(params, "top_p", 1.0), max_tokens)


def whole_number(value: Any) -> int | None:
    """None for what is none. To JSON, 5.0 is the number 5."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
        return None
    return int(value)


def chosen_key(body_key: Any, header_key: str | None) -> str | None:
    """The body's own goes before the header's."""
    own, other = check_key(body_key), check_key(header_key)
    return other if own is None else own


def check_key(key: Any) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key:
        raise _invalid(_("This must be a text."), "key")
    return check_text(key, "key", KEY_CHARS)


def _number(params: Mapping[str, Any], name: str, most: float) -> float | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise _invalid(_("This must be a number from 0 to %(most)s.") % {"most": most}, f"params.{name}")
    return float(value)


def _optional(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    return check_text(value, name, KEY_CHARS)


def _invalid(words: str, name: str) -> InvalidRequest:
    return InvalidRequest(words, {"field": name}, status=422)
