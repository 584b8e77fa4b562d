"""One line in the log for each request and each WebSocket, at its end; with traces on, a span too.

Ids and numbers, never a word of what was said, no query, no secret of a path. An event stream passes through here event
by event: its way is one comparison longer, without a coroutine or an object more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware

from chat import runtime
from chat.logs import hide_in_path
from chat.served_request import ServedRequest, of_user, served

logger = structlog.get_logger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

LEFT_OUT = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask for every few seconds. Static files are left out too: every page asks for them by the dozen."""

PATH_CHARS = 256

ROUTES_REMEMBERED = 1024
"""Paths whose route is remembered, the latest used: most requests go to a few of them, and a lookup takes 40 µs."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


async def logged(application: Application, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Has the application serve it."""
    traces, writes = runtime.current().traces, settings.CHAT_REQUEST_LOG == "on"
    if not (writes or traces is not None) or _is_left_out(scope["path"]):
        await application(scope, receive, send)
        return
    path = shown(scope["path"])
    exchange: _Exchange | _Socket
    if scope["type"] == "websocket":
        request = ServedRequest() if traces is None else traces.socket(scope, path)
        exchange = _Socket(scope, path, request, receive, send)
    else:
        request = ServedRequest() if traces is None else traces.request(scope, path, route_of)
        exchange = _Exchange(scope, path, request, receive, send)
    token = served.set(request)
    try:
        await application(scope, exchange.receive, exchange.send)
    except Exception:
        exchange.failed()
        raise
    finally:
        exchange.ended(writes)
        served.reset(token)


def _is_left_out(path: str) -> bool:
    return path in LEFT_OUT or path.startswith(settings.STATIC_URL)


def shown(path: str) -> str:
    """What may be shown of a path."""
    return hide_in_path(path)[:PATH_CHARS]


@lru_cache(ROUTES_REMEMBERED)
def route_of(path: str) -> str | None:
    try:
        return "/" + resolve(path).route
    except Resolver404:
        return None


def request_id_of(scope: dict[str, Any]) -> str:
    """The client's or the proxy's, if it is one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"  # a name, not a secret


class _Exchange:
    """One HTTP request and its response."""

    def __init__(self, scope: dict[str, Any], path: str, request: ServedRequest, receive: Receive, send: Send) -> None:
        self._began = perf_counter()
        self._method = scope["method"]
        self._path = path
        self._request = request
        self._request_id = request_id_of(scope)
        self._send = send
        self._status: int | None = None
        self._transport = "http"
        self.receive = receive

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._begins(message)
        return self._send(message)

    def _begins(self, message: Message) -> None:
        self._status = message["status"]
        headers = message.get("headers", ())
        message["headers"] = [*headers, (b"x-request-id", self._request_id.encode())]
        if any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
            self._transport = "sse"
            # How long a reply is read says nothing of what the request cost: its span ends as the stream begins.
            self._request.ended(message["status"])

    def failed(self) -> None:
        if self._status is None:
            self._status = 500  # as the server will answer now

    def ended(self, writes: bool) -> None:
        """Without a status, the client left before there was one."""
        request = self._request
        request.ended(self._status or 499)
        if writes:
            logger.info(
                "request",
                method=self._method,
                path=self._path,
                status=self._status,
                duration_ms=round((perf_counter() - self._began) * 1000, 1),
                transport=self._transport,
                request_id=self._request_id,
                **_known(request),
            )


class _Socket:
    """One WebSocket."""

    def __init__(self, scope: dict[str, Any], path: str, request: ServedRequest, receive: Receive, send: Send) -> None:
        self._began = perf_counter()
        self._path = path
        self._request = request
        self._request_id = request_id_of(scope)
        self._receive = receive
        self._send = send
        self._commands = 0
        self._code: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._commands += 1
        elif message["type"] == "websocket.disconnect" and self._code is None:
            self._code = message.get("code")
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "websocket.close" and self._code is None:
            self._code = message.get("code", 1000)
        return self._send(message)

    def failed(self) -> None:
        if self._code is None:
            self._code = 1011  # as the server will close it now

    def ended(self, writes: bool) -> None:
        if writes:
            logger.info(
                "websocket",
                path=self._path,
                code=self._code,
                duration_ms=round((perf_counter() - self._began) * 1000, 1),
                commands=self._commands,
                transport="websocket",
                request_id=self._request_id,
                **_known(self._request),
            )


def _known(request: ServedRequest) -> dict[str, str]:
    known = {}
    if request.user:
        known["user"] = request.user
    if request.generation:
        known["generation"] = request.generation
    if (ids := request.trace_ids) is not None:
        known["trace_id"], known["span_id"] = ids
    return known


@sync_and_async_middleware
def note_user(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """For pages: says who asks where the page has found out; what it did not ask, this does not either."""
    if iscoroutinefunction(get_response):

        async def respond(request: HttpRequest) -> Any:
            response = await get_response(request)
            _note_user(request)
            return response

        return respond

    def respond_now(request: HttpRequest) -> Any:
        response = get_response(request)
        _note_user(request)
        return response

    return respond_now


def _note_user(request: HttpRequest) -> None:
    user = getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)
    if user is not None and user.is_authenticated:
        of_user(user.pk)
