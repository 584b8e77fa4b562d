"""Why a provider is not asked at all."""

from __future__ import annotations

from chat.errors import ErrorCode, UpstreamError


class Unasked(UpstreamError):
    """Nobody was asked: it says nothing about the upstream, and a further attempt would find the same."""


class SwitchedOff(Unasked):
    """Staff did that after the run had begun: before, it would not have been chosen."""

    def __init__(self, provider: str) -> None:
        super().__init__(ErrorCode.UPSTREAM_UNAVAILABLE, details={"provider": provider, "switched_off": True})
