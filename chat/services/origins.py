"""Sites whose pages may call this server from a browser, by their origin: scheme://host[:port], as browsers send it.

Two lists, two kinds of trust. A page of CHAT_CORS_ORIGINS may call the API and open sockets with a token that it holds
itself. A page of CSRF_TRUSTED_ORIGINS may also act with the browser's session, whose cookie comes by itself.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.utils.http import is_same_domain

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
"""As browsers serialize it (RFC 6454, 6.2): lower case, no path, no port that is the scheme's own."""

_OWN_PORTS = {"http": "80", "https": "443"}


def is_origin(value: str) -> bool:
    """Whether a browser could send it. `*` and `null` are nobody's."""
    match = _ORIGIN.fullmatch(value)
    if match is None:
        return False
    scheme, port = match.groups()
    return port is None or (int(port) <= 65535 and port != _OWN_PORTS.get(scheme))


def may_call(origin: str) -> bool:
    """With a token of its own."""
    return origin in settings.CHAT_CORS_ORIGINS


def may_use_session(origin: str) -> bool:
    """With the browser's cookies; `https://*.example.com` in the setting stands for all below it, as in Django."""
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    scheme, _colon, host = origin.partition("://")
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        trusted_scheme, _colon, pattern = trusted.partition("://*")
        if pattern and scheme == trusted_scheme and is_same_domain(host, pattern):
            return True
    return False
