"""The traces of one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from chat.events import StartData
from chat.observation import NO_RUN, Observer, Run
from chat.served_request import ServedRequest, served
from chat.traces.export import Export
from chat.traces.generations import TracedRun
from chat.traces.requests import TracedRequest, TracedSocket
from chat.traces.traceparent import parent_of

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""What else a client makes up must not become a span's name."""

STATUS_CODE = "http.response.status_code"


class Traces(Observer):
    """`close` at the end."""

    def __init__(self) -> None:
        self._export = Export()
        self._tracer = self._export.tracer()

    def request(self, scope: Mapping[str, Any], path: str, route_of: Callable[[str], str | None]) -> ServedRequest:
        """An HTTP request's, begun. `scope` is ASGI's; `path` is what may be shown of its path; `route_of` knows the
        pattern of the real one, such as `/api/v1/generations/<id>`."""
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.path": path,
            "url.scheme": scope.get("scheme") or "http",
            "network.protocol.version": scope.get("http_version") or "1.1",
        }
        if scope.get("server"):
            address, port = scope["server"]
            attributes["server.address"] = str(address)
            if port is not None:
                attributes["server.port"] = port
        name = method if method in METHODS else "HTTP"
        span = self._tracer.start_span(name, parent_of(scope["headers"]), SpanKind.SERVER, attributes)
        if span.is_recording() and (route := route_of(scope["path"])) is not None:
            span.update_name(f"{name} {route}")
            span.set_attribute("http.route", route)
        return TracedRequest(self._tracer, span, STATUS_CODE)

    def socket(self, scope: Mapping[str, Any], path: str) -> ServedRequest:
        """A WebSocket's, whose commands will have spans."""
        return TracedSocket(self._tracer, parent_of(scope["headers"]), path)

    def started(self, start: StartData, account: str) -> Run:
        request = served.get()
        span = request.generation_span if isinstance(request, TracedRequest) else None
        if span is None:
            span = self._tracer.start_span("generation", Context())
        if not span.is_recording():
            return NO_RUN
        return TracedRun(self._tracer, span, start, account)

    def close(self) -> None:
        """Sends what is left; blocks."""
        self._export.close()
