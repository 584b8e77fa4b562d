"""The API's way through Django: a short chain without thread hops, and event streams served raw.

Pages go through the full middleware. The API needs none of it: it authenticates by itself, answers JSON, and its
streams must hold neither a thread nor a database connection while they last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import ResolverMatch
from django.utils import translation
from django.utils.translation import gettext as _

from chat.api.rate_headers import rate_headers
from chat.sse.stream import EventStream, Receive, Send, serve

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_OF_STREAMS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

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
        if _too_large(scope):
            await self._refuse_body(scope, send)
            return
        try:
            body = await _read_body(receive)
        except RequestAborted:
            return
        except RequestDataTooBig:
            await self._refuse_body(scope, send)
            return
        request, refusal = self.create_request(scope, BytesIO(body))
        # Not ASGIHandler.handle: its signals and its watch for a client that leaves cost two threads a request, and
        # nothing here uses the connections that they look after.
        response = refusal
        if request is not None:
            request._body = body  # which `request.body` would make of the file, part by part
            response = await self.get_response_async(request)
        if isinstance(response, EventStream):
            rate = [(name.lower().encode(), value.encode()) for name, value in rate_headers().items()]
            await serve(response, [*_OF_STREAMS, *rate], receive, send)
        else:
            assert response is not None, "without a request there is a refusal"
            await self.send_response(response, cast(Any, send))

    async def _refuse_body(self, scope: dict[str, Any], send: Send) -> None:
        request, refusal = self.create_request(scope, BytesIO())
        if request is not None:
            with translation.override(translation.get_language_from_request(request)):
                words = _("The request is too large.")
            refusal = JsonResponse({"error": words, "code": "TOO_LARGE", "details": {}}, status=413)
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
            response = _plain_error(response.status_code)
        for name, value in (SECURITY_HEADERS | rate_headers()).items():
            response.headers.setdefault(name, value)
        return response

    return respond


def _plain_error(status: int) -> JsonResponse:
    """Where no view of ours was asked."""
    words, code = {
        404: (_("There is nothing at this address."), "NOT_FOUND"),
        405: (_("This address does not take this method."), "INVALID_REQUEST"),
    }[status]
    return JsonResponse({"error": words, "code": code, "details": {}}, status=status)


def _too_large(scope: dict[str, Any]) -> bool:
    limit = settings.CHAT_BODY_BYTES
    if limit is None:
        return False
    for name, value in scope["headers"]:
        if name == b"content-length":
            return not value.isdigit() or int(value) > limit
    return False


async def _read_body(receive: Receive) -> bytes:
    """Raises RequestDataTooBig as soon as it is; RequestAborted when the client has left."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if settings.CHAT_BODY_BYTES is not None and size > settings.CHAT_BODY_BYTES:
            raise RequestDataTooBig
        more = message.get("more_body", False)
    return b"".join(parts)
