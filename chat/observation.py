"""What the engine and the providers report as they run, and to whom: metrics, traces and logs stand behind it.

Every method here does nothing, so that whoever observes overrides what it wants, and nobody costs nothing. None may
raise, block, or keep what it is given for longer than it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chat.errors import GenerationFailed
from chat.events import StartData, Status, Usage


@dataclass(frozen=True, slots=True)
class Ended:
    """How a generation ended. `provider`, `model` and `upstream`: who answered; else who was asked for. `committed`:
    the database has it; else its readers were told that it is lost."""

    status: Status
    provider: str
    model: str
    upstream: str
    usage: Usage
    error: GenerationFailed | None
    first_token_ms: int | None
    duration_ms: int
    committed: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A generation whose process has gone, and which another has ended as interrupted."""

    generation: str
    conversation: str
    account: str
    provider: str
    model: str
    upstream: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class UpstreamSample:
    """One provider at one moment. `breakers`: by model, 0 closed, 1 half-open, 2 open; `waiting`: for their turn;
    `refused`, since the queue was full, and the cache's hits and misses count from the process's start."""

    breakers: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    refused: int = 0
    keys_resting: int = 0
    cache_hits: int = 0
    cache_misses: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment. Sizes are bytes, times seconds; `dropped`, `transactions` and `writes` count from the
    process's start. `streams`: replies being followed, by transport; `connections`: those who follow or could;
    `tasks`: the event loop's; `upstreams`: by provider."""

    generations: int
    streams: Mapping[str, int] = field(default_factory=dict)
    connections: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    log_bytes: int = 0
    log_open: bool = True
    flush_interval: float = 0.0
    loop_lag: float = 0.0
    transactions: int = 0
    writes: int = 0
    writes_waiting: int = 0
    tasks: int = 0
    upstreams: Mapping[str, UpstreamSample] = field(default_factory=dict)


class Attempt:
    """One request to one upstream."""

    def answered(self) -> None:
        """Its first token has come."""

    def ended(self, error: GenerationFailed | None) -> None:
        """Once, also after a stop: with None then, and after a proper end."""


class Run:
    """One generation, from its start to its terminal event."""

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        """`number` counts the attempts at this provider from 1; `fallback`: it is not the one that was asked for."""
        return NO_ATTEMPT

    def first_token(self, seconds: float) -> None:
        """After so long, from the start."""

    def gap(self, seconds: float) -> None:
        """The longest time without an event of text since the last call, one that still lasts included."""

    def ended(self, ended: Ended) -> None:
        """Once, after the terminal event."""


class Observer:
    """One a process."""

    def started(self, start: StartData, account: str) -> Run:
        """In the context of the request that starts it; what follows comes from a task of its own."""
        return NO_RUN

    def lost(self, lost: Lost) -> None:
        """Found by this process; nobody was told of its end before."""

    def sampled(self, sample: Sample) -> None:
        """About once a second."""


NO_ATTEMPT = Attempt()
NO_RUN = Run()


class Observers(Observer):
    """Several as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def started(self, start: StartData, account: str) -> Run:
        runs = [observer.started(start, account) for observer in self._observers]
        wanted = [run for run in runs if run is not NO_RUN]
        if not wanted:
            return NO_RUN
        return wanted[0] if len(wanted) == 1 else _Runs(wanted)

    def lost(self, lost: Lost) -> None:
        for observer in self._observers:
            observer.lost(lost)

    def sampled(self, sample: Sample) -> None:
        for observer in self._observers:
            observer.sampled(sample)


class _Runs(Run):
    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs
        # The one that is called on and on: only those who want to know.
        self._of_gaps = [run for run in runs if type(run).gap is not Run.gap]

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        attempts = [run.attempt(provider, model, number, fallback=fallback) for run in self._runs]
        wanted = [attempt for attempt in attempts if attempt is not NO_ATTEMPT]
        if not wanted:
            return NO_ATTEMPT
        return wanted[0] if len(wanted) == 1 else _Attempts(wanted)

    def first_token(self, seconds: float) -> None:
        for run in self._runs:
            run.first_token(seconds)

    def gap(self, seconds: float) -> None:
        for run in self._of_gaps:
            run.gap(seconds)

    def ended(self, ended: Ended) -> None:
        for run in self._runs:
            run.ended(ended)


class _Attempts(Attempt):
    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = attempts

    def answered(self) -> None:
        for attempt in self._attempts:
            attempt.answered()

    def ended(self, error: GenerationFailed | None) -> None:
        for attempt in self._attempts:
            attempt.ended(error)
