"""What the engine is given to run, and what it wants of those who run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chat.engine.clock import StreamPace
from chat.errors import GenerationFailed
from chat.events import Note, ProviderEvent, StartData, Tell
from chat.observation import Run


class Watch(Protocol):
    """The deadlines of a run: see chat.providers.resilience."""

    def check(self, now: float) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...


class Source(Protocol):
    """Where a run's events come from, and who answers at the moment: the chosen provider, or a fallback. `upstream`:
    how that provider is spoken to."""

    provider: str
    model: str
    upstream: str

    @property
    def watch(self) -> Watch: ...

    async def stream(self, take: Callable[[Sequence[ProviderEvent]], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a generation has said and told already, under owners before this one; it is stored. `last`: its last
    event; `seconds`: since it began."""

    text: str
    reasoning: str
    last: int
    seconds: float
    first_token_ms: int | None
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. `account`: whose it is. `open_source` gets the pace that the upstream connection is read by, whom to
    report each attempt to, and whom to tell what a reader should know beside the text. `input_chars`: of what is sent
    upstream, for an estimate of its tokens. `words`: a failure in the words of the person who asked."""

    start: StartData
    account: str
    epoch: int
    input_chars: int
    open_source: Callable[[StreamPace, Run, Tell], Source]
    words: Callable[[GenerationFailed], str]
    resumed: Resumed | None = None
