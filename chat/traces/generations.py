"""The spans of a generation and of each attempt at an upstream."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace import Status as SpanStatus

from chat.errors import ErrorCode, GenerationFailed
from chat.events import StartData, Status
from chat.observation import Attempt, Ended, Run


class TracedRun(Run):
    """From the acceptance to the terminal event, of a trace that is kept."""

    __slots__ = ("_inside", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, start: StartData, account: str) -> None:
        self._tracer = tracer
        self._span = span
        self._inside = set_span_in_context(span, Context())
        span.set_attributes(
            {
                "chat.generation": start.generation,
                "chat.conversation": start.conversation,
                "chat.provider": start.provider,
                "chat.model": start.model,
                "chat.upstream": start.upstream,
                "user.id": account,
            }
        )

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        attributes: dict[str, str | int | bool] = {
            "chat.attempt": number,
            "chat.provider": provider,
            "chat.model": model,
            "chat.fallback": fallback,
        }
        # Not sent upstream: whose trace it is in is not an upstream's affair.
        return TracedAttempt(self._tracer.start_span("upstream", self._inside, SpanKind.CLIENT, attributes))

    def first_token(self, seconds: float) -> None:
        self._span.add_event("first token")

    def ended(self, ended: Ended) -> None:
        span = self._span
        # As its readers were told.
        status = ended.status if ended.committed else Status.INTERRUPTED
        code = (None if ended.error is None else ended.error.error_code) if ended.committed else ErrorCode.INTERRUPTED
        span.set_attributes(
            {
                # A fallback may have answered.
                "chat.provider": ended.provider,
                "chat.model": ended.model,
                "chat.upstream": ended.upstream,
                "chat.status": status.value,
                "chat.input_tokens": ended.usage.input_tokens,
                "chat.output_tokens": ended.usage.output_tokens,
                "chat.tokens_estimated": ended.usage.estimated,
            }
        )
        _failed(span, code)
        span.add_event("end")
        span.end()


class TracedAttempt(Attempt):
    """One request to one upstream, from before it connects until it has been read or given up."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def answered(self) -> None:
        self._span.add_event("answered")

    def ended(self, error: GenerationFailed | None) -> None:
        _failed(self._span, None if error is None else error.error_code)
        self._span.end()


def _failed(span: Span, code: ErrorCode | None) -> None:
    """Its code alone: the words of an error are for people."""
    if code is not None:
        span.set_attribute("error.type", code.value)
        span.set_status(SpanStatus(StatusCode.ERROR, code.value))
