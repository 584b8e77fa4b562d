"""`traceparent`, as W3C Trace Context has it: from a client's headers, and in a generation's row."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def written(span: Span) -> str:
    """55 characters, or none where tracing is disabled."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def parsed(traceparent: str) -> SpanContext | None:
    """None for what is none."""
    found = get_current_span(_propagator.extract({"traceparent": traceparent}, Context())).get_span_context()
    return found if found.is_valid else None


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Of an ASGI scope's headers; empty where they name no parent."""
    carrier = {
        name.decode("ascii"): value.decode("latin1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
    return _propagator.extract(carrier, Context()) if carrier else Context()
