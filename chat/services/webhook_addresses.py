"""Where webhooks may go: hosts that the operator has listed, at addresses of the public internet.

An entry of the list is a host: `hooks.example.com`, `.example.com` for the names under it, with `:port` for another
than 443; `http://host:port` allows plain HTTP to this one. A private address is reached only where it is listed
itself, as `10.0.0.7:8443` or `http://127.0.0.1:9000`, by its own name or by a listed one. Whoever connects must connect
to what `addresses` gives: what a name means may change between two looks.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpx
from django.utils.translation import gettext as _

from chat.errors import Forbidden, InvalidRequest

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises OSError or UnicodeError where there are none."""

LOOKUPS_AT_ONCE = 8
LOOKUP_SECONDS = 5.0
"""How many names a process looks up at once, and how long who makes a webhook waits. A name server that does not answer
keeps a thread for half a minute: never one of those that look after passwords."""

PORTS = {"https": 443, "http": 80}

_ENTRY = re.compile(r"(?:(https?)://)?(\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}))?/?")

_PUBLIC_IPV6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_NEVER = [
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's metadata
        "192.0.0.0/24",  # protocols' own, Oracle's metadata among them
        "192.88.99.0/24",  # relays to IPv6
        "2001::/23",  # protocols' own: tunnels among them
        "2001:db8::/32",
        "2002::/16",  # IPv4 inside
        "3fff::/20",
    )
]
"""Global by their registration, but nobody's server."""


class AddressRefused(Exception):
    """The name leads to where nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Destination:
    """`host` without brackets, in ASCII."""

    url: httpx.URL
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """`host` begins with a dot where it stands for the names under it."""

    scheme: str
    host: str
    port: int

    def allows(self, scheme: str, host: str, port: int) -> bool:
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host.startswith("."):
            return host.endswith(self.host) and _literal(host) is None  # an address may end in any words: ::1%.com
        return host == self.host


def parse_entry(text: str) -> _Entry:
    """Raises ValueError for what is no entry of the list."""
    match = _ENTRY.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no host: give one as hooks.example.com, .example.com or http://10.0.0.7:9000.")
    scheme = match[1] or "https"
    port = int(match[3]) if match[3] else PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"{text!r} has no port of TCP.")
    return _Entry(scheme, _canonical(match[2].strip("[]")), port)


_lookups = ThreadPoolExecutor(LOOKUPS_AT_ONCE, "webhook-names")


async def resolve(host: str, port: int) -> Sequence[str]:
    look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_lookups, look)
    return list(dict.fromkeys(str(address[0]) for *_rest, address in found))


class Destinations:
    """Raises ValueError for a list that cannot be read. An empty one allows nothing."""

    def __init__(self, entries: Sequence[str], resolve: Resolve = resolve) -> None:
        self._entries = [parse_entry(entry) for entry in entries]
        self._listed = {(address, entry.port) for entry in self._entries if (address := _literal(entry.host))}
        self.resolve = resolve

    @property
    def any(self) -> bool:
        return bool(self._entries)

    def check(self, url: str) -> Destination:
        """Raises Forbidden where there are no webhooks, InvalidRequest (422) for an address that is not allowed."""
        if not self._entries:
            raise Forbidden(_("This server sends no webhooks: its operator has listed no hosts for them."))
        try:
            parsed = httpx.URL(url)
            host = _canonical(parsed.raw_host.decode("ascii").strip("[]"))
        except (httpx.InvalidURL, UnicodeError):
            raise _refused(_("This is not an address.")) from None
        if parsed.scheme not in PORTS or not host:
            raise _refused(_("Give an address that begins with https://."))
        if parsed.userinfo:
            raise _refused(_("The address must not hold a user name or a password."))
        port = parsed.port or PORTS[parsed.scheme]
        if not any(entry.allows(parsed.scheme, host, port) for entry in self._entries):
            raise _refused(_("This server sends webhooks only to the hosts and ports that its operator has listed."))
        return Destination(parsed, host, port)

    async def addresses(self, destination: Destination) -> list[str]:
        """Those to connect to, in this order. Raises AddressRefused if there is one among them that nothing may be sent
        to; OSError or UnicodeError where the name has none."""
        found = await self.resolve(destination.host, destination.port)
        for text in found:
            address = ip_address(text)
            if not is_public(address) and (address, destination.port) not in self._listed:
                raise AddressRefused(text)
        return list(found)

    async def check_now(self, destination: Destination) -> None:
        """Raises InvalidRequest for a name that leads to where nothing may be sent. One that leads nowhere, as far as
        LOOKUP_SECONDS tell, may be set up later."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                await self.addresses(destination)
        except AddressRefused:
            raise _refused(_("This host's address is not on the public internet.")) from None
        except (OSError, UnicodeError):
            pass


def is_public(address: Address) -> bool:
    """Whether it is a server's on the public internet, as far as its number tells."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _PUBLIC_IPV6:
            return False
    never = any(address in network for network in _NEVER if network.version == address.version)
    return address.is_global and not address.is_multicast and not never


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _canonical(host: str) -> str:
    """An address may be written in several ways."""
    address = _literal(host)
    return host.lower() if address is None else str(address)


def _refused(words: str, details: dict[str, Any] | None = None) -> InvalidRequest:
    return InvalidRequest(words, details or {"field": "url"}, status=422)
