"""The upstreams, by provider: attempts that failed and were made again, and what keeps requests from an upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chat.errors import ErrorCode
from chat.observation import UpstreamSample

GAP_BUCKETS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)
"""Seconds. As for replies, what an alert compares with is a bound."""


@dataclass(slots=True)
class ProviderSeries:
    """The series of one provider, with their labels resolved. `last`: what the counters of a sample have reached."""

    errors: dict[ErrorCode, Counter]
    retries: Counter
    fallbacks: Counter
    gap: Histogram
    running: Gauge
    waiting: Gauge
    refused: Counter
    cache_hits: Counter
    cache_misses: Counter
    keys_resting: Gauge
    breakers: dict[str, Gauge] = field(default_factory=dict)
    last: UpstreamSample = field(default_factory=UpstreamSample)


class UpstreamMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._providers: dict[str, ProviderSeries] = {}
        self._errors = Counter(
            "chat_upstream_errors_total", "Attempts that failed, by the code of the failure.", ["provider", "code"],
            registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "chat_upstream_retries_total", "Further attempts at the same provider.", ["provider"], registry=registry
        )
        self._fallbacks = Counter(
            "chat_upstream_fallbacks_total", "Generations that came to this provider as a fallback.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self._gap = Histogram(
            "chat_event_gap_seconds", "The longest time between two events, of each second of a stream.",
            ["provider"], registry=registry, buckets=GAP_BUCKETS,
        )  # fmt: skip
        self._running = Gauge(
            "chat_upstream_running", "Attempts that are being made at this provider.", ["provider"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._waiting = Gauge(
            "chat_upstream_waiting", "Replies that wait for their turn at this provider.", ["provider"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._refused = Counter(
            "chat_upstream_queue_refusals_total", "Replies that found this provider's queue full.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self._breaker = Gauge(
            "chat_upstream_breaker_state", "0 closed; 1 half-open: one reply tries it; 2 open: passed over.",
            ["provider", "model"], registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._keys_resting = Gauge(
            "chat_upstream_keys_resting", "Keys of this provider that were refused and rest.", ["provider"],
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        self._hits = Counter(
            "chat_reply_cache_hits_total", "Replies that were kept from the same question.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self._misses = Counter(
            "chat_reply_cache_misses_total", "Replies that could have been kept and were not.", ["provider"],
            registry=registry,
        )  # fmt: skip

    def provider(self, provider: str) -> ProviderSeries:
        known = self._providers.get(provider)
        if known is None:
            known = self._providers[provider] = ProviderSeries(
                {code: self._errors.labels(provider, code.value) for code in ErrorCode},
                self._retries.labels(provider),
                self._fallbacks.labels(provider),
                self._gap.labels(provider),
                self._running.labels(provider),
                self._waiting.labels(provider),
                self._refused.labels(provider),
                self._hits.labels(provider),
                self._misses.labels(provider),
                self._keys_resting.labels(provider),
            )
        return known

    def breaker(self, provider: str, model: str) -> Gauge:
        breakers = self.provider(provider).breakers
        known = breakers.get(model)
        if known is None:
            known = breakers[model] = self._breaker.labels(provider, model)
        return known

    def sampled(self, upstreams: Mapping[str, UpstreamSample]) -> None:
        for provider, sample in upstreams.items():
            series = self.provider(provider)
            series.waiting.set(sample.waiting)
            series.keys_resting.set(sample.keys_resting)
            series.refused.inc(sample.refused - series.last.refused)
            series.cache_hits.inc(sample.cache_hits - series.last.cache_hits)
            series.cache_misses.inc(sample.cache_misses - series.last.cache_misses)
            series.last = sample
            for model, state in sample.breakers.items():
                self.breaker(provider, model).set(state)
