"""Who opens a socket, and from where: the session's cookie, a Bearer header, or a token among the subprotocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

from chat.services.identity import Identities, Identity
from chat.services.origins import may_call, may_use_session

SUBPROTOCOL = "chat.v1"
BEARER_PREFIX = "bearer."

SIGN_IN = 4401
WRONG_ORIGIN = 4403
"""Close codes. A refused socket is accepted first, so that a browser can read the code."""


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def origin_allowed(headers: Mapping[str, str], subprotocols: Iterable[str] = ()) -> bool:
    """Browsers always send `Origin`: it must be the host that they talk to, or one that is trusted with the session.
    From an origin that may merely call, a token must come too: its cookie would be the browser's doing, not the page's
    (cross-site WebSocket hijacking)."""
    origin = headers.get("origin")
    if origin is None or may_use_session(origin):
        return True
    if may_call(origin) and _has_token(headers, subprotocols):
        return True
    return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _has_token(headers: Mapping[str, str], subprotocols: Iterable[str]) -> bool:
    """Whether `identify` will look at nothing else."""
    if headers.get("authorization", "").partition(" ")[0].lower() == "bearer":
        return True
    return any(subprotocol.startswith(BEARER_PREFIX) for subprotocol in subprotocols)


def language_of(headers: Mapping[str, str]) -> str:
    """The browser's language, among ours."""
    for tag, _weight in parse_accept_lang_header(headers.get("accept-language", "")):
        try:
            return get_supported_language_variant(tag)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE


async def identify(identities: Identities, headers: Mapping[str, str], subprotocols: Iterable[str]) -> Identity | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await identities.by_bearer(token.strip())
    for subprotocol in subprotocols:
        if subprotocol.startswith(BEARER_PREFIX):
            return await identities.by_bearer(subprotocol.removeprefix(BEARER_PREFIX))
    try:
        session = SimpleCookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return None if session is None else await identities.by_session(session.value)
