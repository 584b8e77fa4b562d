"""One line in the log for each generation, at its end: ids and numbers, never a word of what was said."""

from __future__ import annotations

import structlog

from chat.errors import ErrorCode
from chat.events import StartData, Status
from chat.observation import NO_ATTEMPT, Attempt, Ended, Lost, Observer, Run
from chat.served_request import served

logger = structlog.get_logger(__name__)


class Journal(Observer):
    def started(self, start: StartData, account: str) -> Run:
        request = served.get()
        return _JournalRun(start, account, "" if request is None else request.accepted)

    def lost(self, lost: Lost) -> None:
        logger.info(
            "generation",
            generation=lost.generation,
            conversation=lost.conversation,
            user=lost.account,
            provider=lost.provider,
            model=lost.model,
            upstream=lost.upstream,
            status=Status.INTERRUPTED.value,
            error_code=ErrorCode.INTERRUPTED.value,
            duration_ms=lost.duration_ms,
        )


class _JournalRun(Run):
    __slots__ = ("_account", "_attempts", "_start", "_traceparent")

    def __init__(self, start: StartData, account: str, traceparent: str) -> None:
        self._start = start
        self._account = account
        self._traceparent = traceparent
        self._attempts = 0

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        self._attempts += 1
        return NO_ATTEMPT

    def ended(self, ended: Ended) -> None:
        start, error = self._start, ended.error
        # As its readers were told.
        status = ended.status if ended.committed else Status.INTERRUPTED
        code = (None if error is None else error.code) if ended.committed else ErrorCode.INTERRUPTED.value
        trace = {}
        if self._traceparent:
            _version, trace["trace_id"], trace["span_id"], _flags = self._traceparent.split("-")
        logger.info(
            "generation",
            generation=start.generation,
            conversation=start.conversation,
            user=self._account,
            provider=ended.provider,
            model=ended.model,
            upstream=ended.upstream,
            status=status.value,
            error_code=code,
            first_token_ms=ended.first_token_ms,
            duration_ms=ended.duration_ms,
            tokens_in=ended.usage.input_tokens,
            tokens_out=ended.usage.output_tokens,
            tokens_estimated=ended.usage.estimated,
            attempts=self._attempts,
            **trace,
        )
