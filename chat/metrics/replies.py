"""Replies, by provider and model: how many, how long, and how many tokens."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from chat.events import ENDED, Status

FIRST_TOKEN_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
DURATION_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds. What an alert compares with is a bound: between two bounds a quantile is a guess."""


@dataclass(frozen=True, slots=True)
class ModelSeries:
    """The series of one model of one provider, with their labels resolved: a lookup would cost more than the count."""

    started: Counter
    ended: dict[Status, Counter]
    tokens_in: Counter
    tokens_out: Counter
    first_token: Histogram
    duration: Histogram


class ReplyMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: dict[tuple[str, str], ModelSeries] = {}
        by_model = ["provider", "model"]
        self._started = Counter(
            "chat_generations_started_total", "Generations, by what was asked for.", by_model, registry=registry
        )
        self._ended = Counter(
            "chat_generations_total", "Ended generations, by who answered or was asked for.", [*by_model, "status"],
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "chat_tokens_total", "Tokens in and out; estimated where the upstream reports none.",
            [*by_model, "direction"], registry=registry,
        )  # fmt: skip
        self._first_token = Histogram(
            "chat_first_token_seconds", "From a generation's start to its first token.", by_model,
            registry=registry, buckets=FIRST_TOKEN_BUCKETS,
        )  # fmt: skip
        self._duration = Histogram(
            "chat_generation_seconds", "From a generation's start to its end.", by_model,
            registry=registry, buckets=DURATION_BUCKETS,
        )  # fmt: skip

    def model(self, provider: str, model: str) -> ModelSeries:
        known = self._models.get((provider, model))
        if known is None:
            known = self._models[provider, model] = ModelSeries(
                self._started.labels(provider, model),
                {status: self._ended.labels(provider, model, status.value) for status in sorted(ENDED)},
                self._tokens.labels(provider, model, "in"),
                self._tokens.labels(provider, model, "out"),
                self._first_token.labels(provider, model),
                self._duration.labels(provider, model),
            )
        return known
