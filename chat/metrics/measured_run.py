"""One generation, as it is counted: by what was asked for, and by who answers."""

from __future__ import annotations

from chat.errors import ErrorCode, GenerationFailed
from chat.events import Status
from chat.metrics.replies import ModelSeries, ReplyMetrics
from chat.metrics.upstreams import ProviderSeries, UpstreamMetrics
from chat.observation import Attempt, Ended, Run

NOTHING_SAID = frozenset({ErrorCode.EMPTY_REPLY, ErrorCode.CONTENT_FILTERED})
"""Failures that may show only once the upstream has ended as it should."""


class MeasuredRun(Run):
    """`model` and `provider`: what was asked for, then who answers. `asked`: somebody was; of a reply that was kept
    from before, nobody is."""

    __slots__ = ("asked", "error_counted", "model", "provider", "replies", "upstreams")

    def __init__(self, replies: ReplyMetrics, upstreams: UpstreamMetrics, provider: str, model: str) -> None:
        self.replies = replies
        self.upstreams = upstreams
        self.model = replies.model(provider, model)
        self.provider = upstreams.provider(provider)
        self.asked = False
        self.error_counted = False

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        self.asked = True
        asked = self.upstreams.provider(provider)
        if number > 1:
            asked.retries.inc()
        elif fallback:
            asked.fallbacks.inc()
        return _MeasuredAttempt(self, self.replies.model(provider, model), asked)

    def first_token(self, seconds: float) -> None:
        if self.asked:
            self.model.first_token.observe(seconds)

    def gap(self, seconds: float) -> None:
        self.provider.gap.observe(seconds)

    def ended(self, ended: Ended) -> None:
        model = self.replies.model(ended.provider, ended.model)
        # Where the database does not have it, readers were told that it was interrupted.
        model.ended[ended.status if ended.committed else Status.INTERRUPTED].inc()
        model.duration.observe(ended.duration_ms / 1000)
        if ended.status is Status.CANCELLED and ended.first_token_ms is None:
            # Who gave up has waited for so long at least.
            model.first_token.observe(ended.duration_ms / 1000)
        if ended.error is not None and ended.error.error_code in NOTHING_SAID and not self.error_counted:
            self.provider.errors[ended.error.error_code].inc()
        # An estimate for what nobody answered would be of tokens that nobody took, and a kept reply's were counted.
        if self.asked and (not ended.usage.estimated or ended.first_token_ms is not None):
            model.tokens_in.inc(ended.usage.input_tokens)
            model.tokens_out.inc(ended.usage.output_tokens)


class _MeasuredAttempt(Attempt):
    __slots__ = ("_model", "_provider", "_run")

    def __init__(self, run: MeasuredRun, model: ModelSeries, provider: ProviderSeries) -> None:
        self._run = run
        self._model = model
        self._provider = provider
        provider.running.inc()

    def answered(self) -> None:
        self._run.model, self._run.provider = self._model, self._provider

    def ended(self, error: GenerationFailed | None) -> None:
        self._provider.running.dec()
        self._run.error_counted = error is not None
        if error is not None:
            self._provider.errors[error.error_code].inc()
