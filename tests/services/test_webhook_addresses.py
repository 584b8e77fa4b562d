"""Where webhooks may go: what of the operator's list can be read, and which addresses are the public internet's."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from chat.errors import Forbidden, InvalidRequest
from chat.services import webhook_addresses
from chat.services.webhook_addresses import Destinations, is_public, parse_entry
from chat.services.webhook_request import Attempt, Fault, Message, WebhookRequests
from chat.services.webhook_signing import new_secret, signature_headers
from tests.providers.certificate import certificate, server_tls
from tests.webhook_sink import WebhookSink

__all__ = ["certificate", "server_tls"]

INSIDE = [
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "198.18.0.1", "240.0.0.1",
    "::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "ff0e::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", INSIDE)
def test_inside(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_outside(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.example.com", "example.com/path", "ftp://example.com", "a b", "example.com:0", "x:99999", "http://"],
)
def test_what_is_no_host_is_no_entry(entry: str) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        parse_entry(entry)


LISTED = ["hooks.example.com", ".apps.example.com", "10.0.0.7:8443", "http://127.0.0.1:9000", "[fd00::1]"]
REFUSED = [
    "http://hooks.example.com/",  # listed for TLS alone
    "https://hooks.example.com:8443/",
    "https://evil.example.com/",
    "https://[::1%25.apps.example.com]/",  # an address, whatever its zone is called
    "https://apps.example.com/",  # the list has what is under it
    "https://badapps.example.com/",
    "https://hooks.example.com.evil.test/",
    "https://hooks.example.com@evil.test/",
    "https://evil.test\\@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://127.0.0.1/",
    "http://127.0.0.1:1/",  # another port than that which is listed
    "http://127.1:9000/",
    "http://2130706433:9000/",
    "http://0x7f000001:9000/",
    "http://[::ffff:127.0.0.1]:9000/",
    "http://[::1]:9000/",
    "http://169.254.169.254/latest/meta-data/",
    "https://hooks.example.com:99999/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "//hooks.example.com/",
    "https://",
    "https:// hooks.example.com/",
    "https://hooks.example.com/\r\nX-More: 1",
    "javascript:alert(1)",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_listed_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Destinations(LISTED).check(url)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example.com/a?b=c", "hooks.example.com", 443),
        ("HTTPS://HOOKS.EXAMPLE.COM:443", "hooks.example.com", 443),
        ("https://one.two.apps.example.com/", "one.two.apps.example.com", 443),
        ("https://10.0.0.7:8443/", "10.0.0.7", 8443),
        ("http://127.0.0.1:9000/", "127.0.0.1", 9000),
        ("https://[FD00:0::1]/", "fd00::1", 443),
    ],
)
def test_what_is_listed_is_allowed(url: str, host: str, port: int) -> None:
    destination = Destinations(LISTED).check(url)
    assert (destination.host, destination.port) == (host, port)


def test_without_a_list_nothing_is_allowed() -> None:
    with pytest.raises(Forbidden):
        Destinations([]).check("https://hooks.example.com/")


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    sink = WebhookSink()
    yield sink
    await sink.aclose()


class Names:
    """A name server of the test's own: what each look at the name gives, the last for ever."""

    def __init__(self, *looks: Sequence[str]) -> None:
        self.looks = list(looks)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


async def attempt(sink: WebhookSink, names: Names, *listed: str, scheme: str = "http") -> Attempt:
    """At `hooks.test`, whose addresses are those of `names`."""
    destinations = Destinations([f"{scheme}://hooks.test:{sink.port}", *listed], names.resolve)
    requests = WebhookRequests(destinations, seconds=2)
    url = f"{scheme}://hooks.test:{sink.port}/hook"
    await destinations.check_now(destinations.check(url))  # as when it is made
    try:
        return await requests.send(Message("1", url, new_secret(), b"{}"))
    finally:
        await requests.aclose()


async def test_a_name_that_leads_inside_later_is_not_followed(sink: WebhookSink) -> None:
    await sink.start()
    for inside in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert await attempt(sink, Names(["8.8.8.8"], [inside])) == Attempt(None, Fault.ADDRESS_REFUSED)
        assert await attempt(sink, Names(["8.8.8.8"], ["8.8.8.8", inside])) == Attempt(None, Fault.ADDRESS_REFUSED)
    assert sink.received == []


async def test_it_connects_to_the_address_that_was_checked_in_the_name_of_the_host(sink: WebhookSink) -> None:
    """Nobody else knows the name: a second look at it would fail."""
    await sink.start()
    here = f"http://127.0.0.1:{sink.port}"
    assert await attempt(sink, Names(["127.0.0.1"]), here) == Attempt(200, None)
    [received] = sink.received
    assert received.headers["host"] == f"hooks.test:{sink.port}"


async def test_it_goes_on_to_the_next_address_where_the_first_refuses(sink: WebhookSink) -> None:
    await sink.start()
    listed = [f"http://127.0.0.{number}:{sink.port}" for number in (1, 9)]
    assert await attempt(sink, Names(["127.0.0.9", "127.0.0.1"]), *listed) == Attempt(200, None)


async def test_the_address_listed_with_another_port_opens_no_door(sink: WebhookSink) -> None:
    await sink.start()
    with pytest.raises(Exception, match="not on the public internet"):
        await attempt(sink, Names(["127.0.0.1"]), "http://127.0.0.1:1")
    assert sink.received == []


async def test_a_name_server_that_hangs_keeps_nothing_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the threads that look after passwords, and whoever makes a webhook for a while."""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_named: answer.wait(60) and [])
    monkeypatch.setattr(webhook_addresses, "LOOKUP_SECONDS", 0.1)
    destinations = Destinations(["hooks.test"])
    lookups = [destinations.check_now(destinations.check("https://hooks.test/")) for _number in range(100)]
    try:
        async with asyncio.timeout(30):
            *_nothing, name = await asyncio.gather(*lookups, asyncio.to_thread(threading.get_ident))
        assert name != threading.get_ident()
        async with asyncio.timeout(30):
            await asyncio.gather(*(asyncio.to_thread(time.monotonic) for _number in range(100)))
    finally:
        answer.set()


async def test_tls_is_checked_against_the_name(
    sink: WebhookSink, server_tls, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the certificate's names, `localhost` and 127.0.0.1, one is the address: that must not do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await sink.start(server_tls)
    here = f"127.0.0.1:{sink.port}"
    assert await attempt(sink, Names(["127.0.0.1"]), here, scheme="https") == Attempt(None, Fault.UNREACHABLE)
    assert sink.received == []
    destinations = Destinations([f"localhost:{sink.port}", here], Names(["127.0.0.1"]).resolve)
    requests = WebhookRequests(destinations, seconds=2)
    message = Message("1", f"https://localhost:{sink.port}/", new_secret(), b"{}")
    assert await requests.send(message) == Attempt(200, None)
    assert sink.received[0].is_signed_with(message.secret)
    await requests.aclose()


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signature_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
