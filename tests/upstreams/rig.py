"""One row of the provider contract: a simulated upstream, and how a provider that speaks to it is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chat.providers.base import Provider
from chat.providers.providers_file import declarations_of
from chat.providers.registry import Registry
from chat.simulators.base import Simulator

TIMEOUTS = {"connect": 2.0, "first_token": 10.0, "idle": 10.0, "total": 20.0}


@dataclass(frozen=True)
class UpstreamRig:
    """`table`: the provider's, as in a providers file, without `base_url` and `models`; its secrets are `env:NAME`s of
    `environment`. `wrong` replaces some of that by a key that the simulator refuses. `reasons`, `counts`: whether the
    protocol has thinking, and reports tokens."""

    simulator: Callable[[], Simulator]
    table: Mapping[str, Any]
    environment: Mapping[str, str]
    wrong: Mapping[str, str]
    reasons: bool = True
    counts: bool = True

    @property
    def kind(self) -> str:
        return str(self.table["kind"])

    def registry(self, url: str, environment: Mapping[str, str] | None = None, **more: Any) -> Registry:
        """With the provider `main`, which speaks to `url`; `more` are further keys of its table."""
        table = {**self.table, "base_url": url, "models": ["demo"], "timeout": TIMEOUTS, "retries": 0, **more}
        return Registry(
            declarations_of({"providers": {"main": table}}, "the test"),
            self.environment if environment is None else environment,
        )


def main_of(registry: Registry) -> Provider:
    return registry.providers["main"]
