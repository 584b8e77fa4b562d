"""Where a request comes from, as rates count it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from allauth.core.internal.httpkit import get_client_ip
from allauth.core.internal.ratelimit import truncate_ip
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

UNKNOWN = "unknown"


def client_address(request: HttpRequest) -> str:
    """Behind a trusted proxy the address that it names; of IPv6 the network, since one person has very many addresses.
    Counted alike for the sign-in page."""
    try:
        address: str = truncate_ip(get_client_ip(request) or UNKNOWN)
    except ImproperlyConfigured:  # fewer proxies have passed it on than are trusted
        return UNKNOWN
    return address


def sending_address(request: HttpRequest) -> str:
    """The same, where sends are counted by it; else empty, since finding it out costs something."""
    return client_address(request) if settings.CHAT_ADDRESS_SEND_RATE else ""


def socket_address(scope: Mapping[str, Any]) -> str:
    """The same of a WebSocket, for what it will send."""
    return sending_address(ASGIRequest({**scope, "method": "GET"}, BytesIO()))
