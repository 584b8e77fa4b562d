"""`/metrics`, for the operator's Prometheus: whoever else asks finds nothing there."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from allauth.core.internal.httpkit import clean_client_ip, get_client_ip_from_xff
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from chat import runtime
from chat.metrics.metrics import CONTENT_TYPE

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")
"""A request with one of these came through a proxy: the socket's address is the proxy's, often this very machine's."""


async def metrics(request: HttpRequest) -> HttpResponse:
    """The text exposition; 404 for an address that CHAT_METRICS_ALLOW does not have."""
    current = runtime.current().metrics
    if current is None or not _is_allowed(request):
        raise Http404
    return HttpResponse(await asyncio.to_thread(current.exposition), content_type=CONTENT_TYPE)


def _is_allowed(request: HttpRequest) -> bool:
    address = _client_address(request)
    if address is None:
        return False
    client = ip_address(address)
    if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
        client = client.ipv4_mapped
    return any(client in network for network in _networks(tuple(settings.CHAT_METRICS_ALLOW)))


def _client_address(request: HttpRequest) -> str | None:
    """None where it is not known for sure: a header that anybody can send is believed from a trusted proxy alone."""
    if any(name in request.headers for name in FORWARDED):
        address = get_client_ip_from_xff(request)  # the last one, and None without CHAT_TRUST_PROXY
    else:
        address = request.META.get("REMOTE_ADDR")
    return clean_client_ip(address) if address else None


@lru_cache(maxsize=8)
def _networks(allowed: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network.strip(), strict=False) for network in allowed)
