"""The API's way through Django: a short chain without thread hops, and event streams served raw.

Pages go through the full middleware. The API needs none of it: it authenticates by itself, answers JSON, and its
streams must hold neither a thread nor a database connection while they last.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from chat import runtime
from chat.api import cors
from chat.api.compression import compressed
from chat.api.conditional import conditional
from chat.api.rate_headers import rate_headers
from chat.api.replies import json_response
from chat.api.security_headers import security_headers
from chat.api.write_timeout import fits, send_in_time
from chat.dialects.openai_errors import plain_error
from chat.sse.stream import HEADERS as OF_STREAMS
from chat.sse.stream import EventStream, Headers, Receive, Send, serve

OPENAI_PREFIX = "/v1/"
"""Where refusals have OpenAI's shape."""

SIGN_IN_PREFIX = "/api/v1/auth/"
SIGN_IN_BYTES = 64 * 1024
"""Of a body there: passwords and tokens. Elsewhere the body is read once its sender is known, but here anybody's is."""

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class ApiHandler(ASGIHandler):
    """Like ASGIHandler, with the API's own chain in the place of settings.MIDDLEWARE."""

    def __init__(self) -> None:
        self._fixed_routes: dict[str, ResolverMatch] = {}
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        view = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]
        self._middleware_chain = _chain(cast(GetResponse, view))

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """A path without parameters is looked up once: there are as many as there are routes."""
        match = self._fixed_routes.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            if not match.kwargs and not match.args:
                self._fixed_routes[request.path_info] = match
        request.resolver_match = match
        return match

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:  # type: ignore[override]
        if (preflight := cors.preflight_headers(scope)) is not None:
            await self.send_response(_no_content(preflight), cast(Any, send))
            return
        limit = _limit(scope)
        if _is_too_large(scope, limit):
            await self._refuse_body(scope, send)
            return
        try:
            body = await _read_body(receive, limit)
        except RequestAborted:
            return
        except RequestDataTooBig:
            await self._refuse_body(scope, send)
            return
        request, refusal = self.create_request(scope, BytesIO(body))
        if request is None:
            assert refusal is not None, "without a request there is a refusal"
            await self.send_response(refusal, cast(Any, send))
            return
        request._body = body  # which `request.body` would make of the file, part by part
        if request.method == "HEAD":
            request.method = "GET"  # which is what the views know: the answer is the same, but for its body
        # Not ASGIHandler.handle: its signals and its watch for a client that leaves cost two threads a request, and
        # nothing here uses the connections that they look after.
        response = await self.get_response_async(request)
        if isinstance(response, EventStream):
            headers = _encoded(security_headers(request) | rate_headers() | cors.answer_headers(scope))
            if scope["method"] == "HEAD":
                await _send_head(response, headers, send)
            else:
                await serve(response, headers, receive, send)
            return
        response = await _finished(scope, request, response)
        if response.streaming and scope["method"] == "HEAD":
            response = HttpResponse(status=response.status_code, headers=response.headers)
        if fits(response):
            await self.send_response(response, cast(Any, send))
        else:
            await send_in_time(response, runtime.current().readers, receive, send)

    async def _refuse_body(self, scope: dict[str, Any], send: Send) -> None:
        request, refusal = self.create_request(scope, BytesIO())
        if request is not None:
            with translation.override(translation.get_language_from_request(request)):
                refusal = _refusal(request, 413, _("The request is too large."), "TOO_LARGE")
            refusal = await _finished(scope, request, refusal)
        assert refusal is not None, "without a request there is a refusal"
        await self.send_response(refusal, cast(Any, send))


def _chain(get_response: GetResponse) -> GetResponse:
    async def respond(request: HttpRequest) -> HttpResponseBase:
        request.LANGUAGE_CODE = translation.get_language_from_request(request)
        translation.activate(request.LANGUAGE_CODE)  # for this request's task alone: it has a context of its own
        response = await get_response(request)
        if isinstance(response, EventStream):
            return response  # whose headers are not Django's
        if response.status_code in (404, 405) and "json" not in response.headers.get("Content-Type", ""):
            return _plain_error(request, response)
        return response

    return respond


async def _finished(scope: dict[str, Any], request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """With what every answer has."""
    for name, value in (security_headers(request) | rate_headers()).items():
        response.headers.setdefault(name, value)
    for name, value in cors.answer_headers(scope).items():
        if name == "Vary":
            patch_vary_headers(response, (value,))
        else:
            response.headers[name] = value
    if not isinstance(response, HttpResponse):
        response.headers.setdefault("Cache-Control", "no-store")
        return response  # made as it goes out
    response = await conditional(request, response)
    response = await compressed(request, response)
    if response.status_code not in (204, 304):
        response.headers["Content-Length"] = str(len(response.content))
    if scope["method"] == "HEAD":
        response.content = b""
    return response


async def _send_head(stream: EventStream, headers: Headers, send: Send) -> None:
    """Of a stream that nobody asked to read."""
    own = [*OF_STREAMS, *stream.own_headers, *headers]
    await send({"type": "http.response.start", "status": stream.status_code, "headers": own})
    await send({"type": "http.response.body", "body": b""})


def _no_content(headers: dict[str, str]) -> HttpResponse:
    response = HttpResponse(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _plain_error(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Where no view of ours was asked."""
    if response.status_code == 404:
        return _refusal(request, 404, _("There is nothing at this address."), "NOT_FOUND")
    error = _refusal(request, 405, _("This address does not take this method."), "INVALID_REQUEST")
    methods = {name.strip() for name in response.headers.get("Allow", "").split(",")} - {""}
    error.headers["Allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
    return error


def _refusal(request: HttpRequest, status: int, words: str, code: str) -> HttpResponse:
    if request.path_info.startswith(OPENAI_PREFIX):
        return json_response(status, plain_error(status, words))
    return json_response(status, {"error": words, "code": code, "details": {}})


def _limit(scope: dict[str, Any]) -> float:
    """Of this request's body, in bytes."""
    limit: float = math.inf if settings.CHAT_BODY_BYTES is None else settings.CHAT_BODY_BYTES
    return min(limit, SIGN_IN_BYTES) if scope["path"].startswith(SIGN_IN_PREFIX) else limit


def _is_too_large(scope: dict[str, Any], limit: float) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return not value.isdigit() or int(value) > limit
    return False


async def _read_body(receive: Receive, limit: float) -> bytes:
    """Raises RequestDataTooBig as soon as it is; RequestAborted when the client has left."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise RequestDataTooBig
        more = message.get("more_body", False)
    return b"".join(parts)
