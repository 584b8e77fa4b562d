"""A response that an upstream writes in the background: followed over as many connections as it takes, and cancelled
when nobody wants it any more.

Source: the OpenAI API reference, "Responses", and its guide "Background mode".
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

import httpx

from chat.errors import UpstreamError
from chat.providers import http_errors
from chat.providers.base import Pace, Profile
from chat.providers.http import open_response, pour
from chat.providers.http_adapter import HttpAdapter
from chat.providers.http_request import get, post
from chat.providers.sse_reply import SSEReply

logger = logging.getLogger(__name__)

RESUMES_MOST = 5
"""Of one response: upstreams have been seen to cut long streams every few minutes."""

RESUME_FIRST = 0.1
"""Seconds before the first one; each further pause is twice as long."""

CANCEL_SECONDS = 5.0
"""For an upstream to confirm that it has stopped."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""What may be put into an address."""


class ResumableReply(SSEReply):
    """`response`: the upstream's id of it. `cursor`: the number of the last event that was read. `over`: the upstream
    has stopped writing, for good or bad."""

    response: str | None = None
    cursor: int | None = None
    over = False

    def begin(self) -> None:
        super().begin()
        self._known = self.cursor

    def named(self, response: str | None) -> None:
        if self.response is None and response and _ID.fullmatch(response):
            self.response = response

    def is_news(self, number: int | None) -> bool:
        """Whether the event of this number was not read from an earlier connection. On one and the same, each counts:
        some number all of them alike."""
        if number is None:
            return True
        if self._known is not None and number <= self._known:
            return False
        self.cursor = number
        return True


class ResumingAdapter(HttpAdapter):
    """`follow` where `exchange` would do for a response that ends with its connection."""

    def __init__(
        self,
        profile: Profile,
        responses: str,
        headers: Sequence[tuple[bytes, bytes]],
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`responses`: the address where they are created, and below which each has its own."""
        super().__init__(profile, responses, headers, http)
        self._responses = responses
        self._cancelling: set[asyncio.Task[None]] = set()

    async def follow(self, request: httpx.Request, reply: ResumableReply, pace: Pace) -> None:
        """Sends the request that creates a response, and has `reply` read it to its end. However that fails or is
        cancelled, the upstream is told to stop. Raises UpstreamError."""
        try:
            await self._follow(request, reply, pace)
        finally:
            if reply.response is not None and not reply.over:
                self._cancel_soon(reply.response)

    async def aclose(self) -> None:
        if self._cancelling:
            await asyncio.wait(self._cancelling)

    async def _follow(self, request: httpx.Request, reply: ResumableReply, pace: Pace) -> None:
        failure = await self._read(request, reply)
        resumes = 0
        while not reply.over and reply.response is not None and reply.cursor is not None and resumes < RESUMES_MOST:
            await asyncio.sleep(RESUME_FIRST * 2.0**resumes)
            resumes += 1
            reply.begin()
            try:
                failure = await self._read(self._resumption(reply.response, reply.cursor, pace), reply)
            except _NotResumed as refused:
                if not refused.again:
                    break
        if failure is not None and not reply.over:
            raise failure
        reply.end()

    async def _read(self, request: httpx.Request, reply: ResumableReply) -> UpstreamError | None:
        """One connection; what it failed of, where it did."""
        answered = False
        try:
            async with open_response(self._http, request) as response:
                answered = True
                await self._check_either(request, response)
                await pour(response, reply.read)
        except httpx.HTTPError as error:
            return http_errors.of_exception(error, provider=self.id, answered=answered)
        return None

    async def _check_either(self, request: httpx.Request, response: httpx.Response) -> None:
        """Raises UpstreamError, or _NotResumed: what a resumption is refused with says nothing of the reply."""
        if request.method == "GET" and response.status_code != 200:
            raise _NotResumed(http_errors.of_status(response.status_code, response.headers, provider=self.id))
        await self._check(response)

    def _resumption(self, response: str, cursor: int, pace: Pace) -> httpx.Request:
        url = httpx.URL(f"{self._responses}/{response}?stream=true&starting_after={cursor}")
        return get(url, self._headers, pace, self.timeouts.connect)

    # Cancelling

    def _cancel_soon(self, response: str) -> None:
        """In a task of its own: whoever stopped must not wait for it."""
        task = asyncio.get_running_loop().create_task(self._cancel(response))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, response: str) -> None:
        url = httpx.URL(f"{self._responses}/{response}/cancel")
        try:
            async with (
                asyncio.timeout(CANCEL_SECONDS),
                open_response(self._http, post(url, self._headers, b"{}", None, self.timeouts.connect)) as answer,
            ):
                if answer.status_code != 200:
                    logger.warning("provider %s: a response was not cancelled: %d", self.id, answer.status_code)
        except (httpx.HTTPError, TimeoutError) as error:
            logger.warning("provider %s: a response was not cancelled: %s", self.id, type(error).__name__)


class _NotResumed(Exception):
    def __init__(self, error: UpstreamError) -> None:
        super().__init__(error.code)
        self.again = error.attempt_again
