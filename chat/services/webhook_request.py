"""One attempt to deliver: a POST to an address that was checked, whose answer counts by its status alone."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import httpx

from chat.errors import RequestError
from chat.services.webhook_addresses import AddressRefused, Destination, Destinations
from chat.services.webhook_signing import signature_headers

ADDRESSES_TRIED = 4
"""Of those that a name has, where no connection can be made to the ones before."""

ANSWER_BYTES = 64 * 1024
ANSWER_SECONDS = 1.0
"""How much of an answer's body is taken, and for how long, so that a receiver's write does not fail. It is not read."""


class Fault(StrEnum):
    """Why an attempt has failed; what `error` of a delivery says."""

    STATUS = "STATUS"  # any but 2xx; a redirect too, which is not followed
    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"  # no such host, no connection, no TLS, no HTTP
    ADDRESS_REFUSED = "ADDRESS_REFUSED"  # not, or no longer, one that webhooks may be sent to


@dataclass(frozen=True, slots=True)
class Attempt:
    """`status`: that of the answer, if there was one; `fault`: None where it is delivered."""

    status: int | None
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    url: str
    secret: str
    body: bytes


class WebhookRequests:
    """`seconds`: for one attempt, all in all. Nothing of one answer is in the next request: no cookies, no redirects,
    no connection; and no proxy, which would look up names by itself."""

    def __init__(self, destinations: Destinations, seconds: float) -> None:
        self._destinations = destinations
        self.seconds = seconds
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._opening = asyncio.Lock()

    async def send(self, message: Message) -> Attempt:
        transport = await self._opened()
        try:
            async with asyncio.timeout(self.seconds):
                destination = self._destinations.check(message.url)
                addresses = await self._destinations.addresses(destination)
                status = await self._post(transport, destination, addresses, message)
        except (RequestError, AddressRefused):
            return Attempt(None, Fault.ADDRESS_REFUSED)
        except (TimeoutError, httpx.TimeoutException):
            return Attempt(None, Fault.TIMEOUT)
        except (OSError, UnicodeError, httpx.TransportError):
            return Attempt(None, Fault.UNREACHABLE)
        return Attempt(status, None if 200 <= status < 300 else Fault.STATUS)

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    async def _post(
        self, transport: httpx.AsyncHTTPTransport, destination: Destination, addresses: list[str], message: Message
    ) -> int:
        """The answer's status. Raises httpx.TransportError."""
        failure: httpx.TransportError = httpx.ConnectError("no address")
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                response = await transport.handle_async_request(self._request(destination, address, message))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
                continue
            try:
                with suppress(TimeoutError, httpx.TransportError):
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await _take_some(response)
                return response.status_code
            finally:
                await response.aclose()
        raise failure

    def _request(self, destination: Destination, address: str, message: Message) -> httpx.Request:
        """To the address itself, in the name of its host."""
        url = destination.url.copy_with(host=address)
        headers = {
            "Host": destination.url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": "chatsite-webhooks",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **signature_headers(message.secret, message.id, int(time.time()), message.body),
        }
        extensions = {
            "sni_hostname": destination.host,
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self.seconds),
        }
        return httpx.Request("POST", url, headers=headers, content=message.body, extensions=extensions)

    async def _opened(self) -> httpx.AsyncHTTPTransport:
        async with self._opening:
            if self._transport is None:
                tls = await asyncio.to_thread(httpx.create_ssl_context)  # it reads some hundred certificates
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
                self._transport = httpx.AsyncHTTPTransport(verify=tls, limits=limits)
            return self._transport


async def _take_some(response: httpx.Response) -> None:
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > ANSWER_BYTES:
            return
