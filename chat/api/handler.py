"""The API's way through Django: a short chain without thread hops, and event streams served raw.

Pages go through the full middleware. The API needs none of it: it authenticates by itself, answers JSON, and its
streams must hold neither a thread nor a database connection while they last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import ResolverMatch
from django.utils import translation
from django.utils.translation import gettext as _

from chat.sse.stream import EventStream, Receive, Send, serve

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


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
            await _refuse_body(send)
            return
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        request, refusal = self.create_request(scope, body)
        # Not ASGIHandler.handle: its signals and its watch for a client that leaves cost two threads a request, and
        # nothing here uses the connections that they look after.
        response = refusal if request is None else await self.get_response_async(request)
        body.close()
        if isinstance(response, EventStream):
            await serve(response, receive, send)
        else:
            assert response is not None, "without a request there is a refusal"
            await self.send_response(response, cast(Any, send))


def _chain(get_response: GetResponse) -> GetResponse:
    async def respond(request: HttpRequest) -> HttpResponseBase:
        request.LANGUAGE_CODE = translation.get_language_from_request(request)
        translation.activate(request.LANGUAGE_CODE)  # for this request's task alone: it has a context of its own
        response = await get_response(request)
        if response.status_code in (404, 405) and "json" not in response.headers.get("Content-Type", ""):
            response = _plain_error(response.status_code)
        for name, value in SECURITY_HEADERS.items():
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


async def _refuse_body(send: Send) -> None:
    error = {"error": _("The request is too large."), "code": "TOO_LARGE", "details": {}}
    response = JsonResponse(error, status=413)
    headers = [(name.encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})
