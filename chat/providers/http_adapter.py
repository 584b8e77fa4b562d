"""What the adapters share whose upstream is asked by one POST and answers with a stream."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx
import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.providers import http_errors
from chat.providers.base import ChatRequest, Profile, Provider, Take
from chat.providers.http import open_response, pour
from chat.providers.http_request import post, prepared

MAX_ERROR_BODY = 64 * 1024
"""Bytes read of an error's body, to tell an empty purse from a busy hour …"""

ERROR_BODY_SECONDS = 5.0
"""… and how long it is waited for: the status alone says enough."""


class HttpReply(Protocol):
    """An SSEReply or a LineReply."""

    def read(self, chunk: bytes) -> bool: ...
    def end(self) -> None: ...
    def cut(self) -> None: ...


class HttpAdapter(Provider):
    """An adapter says what to send (`body`, and `url` where it depends on the question), how to read the answer
    (`reply`), and what an error's body means (`refine`)."""

    form: bool = False
    """What `body` gives goes out as a URL-encoded form; else as JSON."""

    def __init__(
        self,
        profile: Profile,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        http: httpx.AsyncBaseTransport,
        *,
        accept: bytes = b"text/event-stream",
    ) -> None:
        super().__init__(profile)
        self._url = httpx.URL(url)
        content_type = b"application/x-www-form-urlencoded" if self.form else b"application/json"
        self._headers = prepared(self._url, [(b"Content-Type", content_type), (b"Accept", accept), *headers])
        self._http = http

    @abstractmethod
    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The JSON object or the form to send. Raises UpstreamError for what this upstream cannot be asked."""

    @abstractmethod
    def reply(self, take: Take) -> HttpReply: ...

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        """An HTTP status says less than its body, whose beginning this is; empty where none came in time."""
        return error

    def url(self, request: ChatRequest) -> httpx.URL:
        """On the host that the constructor was given."""
        return self._url

    async def stream(self, request: ChatRequest, take: Take) -> None:
        await self.exchange(self._post(request), self.reply(take))

    async def exchange(self, request: httpx.Request, reply: HttpReply) -> None:
        """Sends one request, and has `reply` read the answer to its end. Raises UpstreamError."""
        answered = False
        try:
            async with open_response(self._http, request) as response:
                answered = True
                await self._check(response)
                await pour(response, reply.read)
                reply.end()
        except httpx.HTTPError as error:
            reply.cut()
            raise http_errors.of_exception(error, provider=self.id, answered=answered) from None

    def _post(self, request: ChatRequest) -> httpx.Request:
        fields = self.body(request)
        body = urlencode(fields).encode() if self.form else msgspec.json.encode(fields)
        return post(self.url(request), self._headers, body, request.pace, self.timeouts.connect)

    async def _check(self, response: httpx.Response) -> None:
        """Raises UpstreamError for an answer that is no stream."""
        encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
        if response.status_code != 200:
            error = http_errors.of_status(response.status_code, response.headers, provider=self.id)
            raise error if encoded else self.refine(error, await beginning(response))
        if encoded:
            raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self.id})


async def beginning(response: httpx.Response) -> bytes:
    """Of a body: as much as comes in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            async for chunk in response.stream:  # type: ignore[union-attr]
                body += chunk
                if len(body) > MAX_ERROR_BODY:
                    break
    except (httpx.HTTPError, TimeoutError):
        return b""
    return bytes(body)
