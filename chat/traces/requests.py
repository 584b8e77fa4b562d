"""The span of an HTTP request or of a socket's command, and what it hands on to the generation that it starts."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from chat.served_request import ServedRequest
from chat.traces import traceparent as traceparents

TRACED_COMMANDS = frozenset({"send", "follow", "stop", "pause", "resume"})
"""The others neither start nor change anything outside of their socket."""


class TracedRequest(ServedRequest):
    """`status_attribute`: what the status is called, where it has a name."""

    __slots__ = ("_accepted", "_linked", "_span", "_status_attribute", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, status_attribute: str | None = None) -> None:
        super().__init__()
        self._tracer = tracer
        self._span = span
        self._status_attribute = status_attribute
        self._accepted: Span | None = None
        self._linked = ""

    @property
    def trace_ids(self) -> tuple[str, str] | None:
        context = self._span.get_span_context()
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None

    def accept_generation(self) -> str:
        """The span begins now, so that its row can name it. One that nothing comes of is never ended, nor exported."""
        # A child, though it outlives its parent: one trace shows a request and all that it has caused, and is sampled
        # or not as a whole. Of one that is not, the request's ids stand for all.
        self._accepted = self._span
        if self._span.is_recording():
            self._accepted = self._tracer.start_span("generation", set_span_in_context(self._span, Context()))
        return traceparents.written(self._accepted)

    @property
    def accepted(self) -> str:
        return "" if self._accepted is None else traceparents.written(self._accepted)

    @property
    def generation_span(self) -> Span | None:
        """What `accept_generation` has begun."""
        return self._accepted

    def link(self, traceparent: str) -> None:
        # A request may look at its generation several times.
        if traceparent != self._linked and (context := traceparents.parsed(traceparent)) is not None:
            self._linked = traceparent
            self._span.add_link(context)

    def ended(self, status: int) -> None:
        span = self._span
        if not span.is_recording():
            return  # not sampled, or ended before
        if self.user:
            span.set_attribute("user.id", self.user)
        if self.generation:
            span.set_attribute("chat.generation", self.generation)
        if self._status_attribute is not None:
            span.set_attribute(self._status_attribute, status)
        if status >= 500 or (status >= 400 and self._status_attribute is None):
            span.set_attribute("error.type", str(status))
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class TracedSocket(ServedRequest):
    """Has no span of its own, which would last for hours: each of its commands has one, in a trace of its own unless
    the handshake named a parent."""

    __slots__ = ("_parent", "_path", "_tracer")

    def __init__(self, tracer: Tracer, parent: Context, path: str) -> None:
        super().__init__()
        self._tracer = tracer
        self._parent = parent
        self._path = path

    def command(self, name: str) -> ServedRequest:
        if name not in TRACED_COMMANDS:
            return self
        attributes = {"chat.command": name, "url.path": self._path}
        span = self._tracer.start_span(f"websocket {name}", self._parent, SpanKind.SERVER, attributes)
        request = TracedRequest(self._tracer, span)
        request.user = self.user
        return request
