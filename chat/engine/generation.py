"""One generation's state: what came, what is still to be logged, what is still to be saved. No I/O, no time of its own.

    QUEUED ──> STREAMING <──> PAUSED
       └───────────┴────────────┴──> COMPLETED | CANCELLED | FAILED | INTERRUPTED

Every arrow is taken once, by the methods here; an ended generation never changes again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from chat.engine.notes import Notes
from chat.engine.transcript import Transcript
from chat.errors import ErrorCode, GenerationFailed
from chat.events import (
    LIVE,
    Entry,
    Finish,
    FinishReason,
    MessageData,
    Note,
    ProviderEvent,
    Reasoning,
    ReasoningData,
    SnapshotData,
    Status,
    Text,
    Usage,
    encode,
)

CHARACTERS_PER_TOKEN = 3
"""For an estimate where the upstream reports no usage: between English's four and Chinese's one and a half."""


class Unsaved(NamedTuple):
    """What the store does not have yet: pieces to append, how far the log is, and all notes if there is a new one."""

    text: str
    reasoning: str
    seq: int
    notes: Sequence[Note] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `error` is set for FAILED and INTERRUPTED, `finish_reason` for the good ends."""

    status: Status
    text: str
    reasoning: str
    usage: Usage
    finish_reason: FinishReason | None = None
    error: GenerationFailed | None = None
    first_token_ms: int | None = None
    duration_ms: int = 0
    notes: Sequence[Note] = ()


class Generation:
    """Times are the loop's, in seconds. `reply_chars` bounds text and reasoning together."""

    def __init__(self, generation_id: str, *, started: float, reply_chars: int | None, input_chars: int) -> None:
        self.id = generation_id
        self.status = Status.QUEUED
        self.started = started
        self.first_token: float | None = None
        self.full = False
        self._reply_chars = inf if reply_chars is None else reply_chars
        self._input_chars = input_chars
        self._chars: float = 0
        self._pending: list[tuple[type[ProviderEvent], list[str]]] = []
        self._text = Transcript()
        self._reasoning = Transcript()
        self._notes = Notes()
        self._unsaved_notes: Sequence[Note] | None = None
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def first_token_ms(self) -> int | None:
        """After so long, from the start."""
        return None if self.first_token is None else round((self.first_token - self.started) * 1000)

    # What comes in

    def restore(self, text: str, reasoning: str, notes: Iterable[Note], first_token_ms: int | None) -> None:
        """What was said before, and is stored."""
        for transcript, piece in ((self._text, text), (self._reasoning, reasoning)):
            transcript.append(piece)
            transcript.mark_handed_out()
        self._notes.restore(notes)
        self._chars = len(text) + len(reasoning)
        self.status = Status.STREAMING
        self.first_token = None if first_token_ms is None else self.started + first_token_ms / 1000

    def begin(self, now: float) -> None:
        """The first token has come."""
        self.first_token = now
        if self.status is Status.QUEUED:
            self.status = Status.STREAMING

    def feed(self, events: Iterable[ProviderEvent]) -> bool:
        """Takes events of the provider; True when there is something new to log."""
        pending, new = self._pending, False
        for event in events:
            kind = type(event)
            if kind is Text or kind is Reasoning:
                delta: str = event.delta  # type: ignore[union-attr]
                self._chars += len(delta)
                if self._chars > self._reply_chars:
                    delta = self._cut(delta)
                    if not delta:
                        continue
                new = True
                if pending and pending[-1][0] is kind:
                    pending[-1][1].append(delta)
                else:
                    pending.append((kind, [delta]))
            elif kind is Usage:
                self._usage = event  # type: ignore[assignment]
            elif kind is Finish and self._finish is None:
                self._finish = event.reason  # type: ignore[union-attr]
        return new

    def _cut(self, delta: str) -> str:
        """What of it still fits."""
        excess = self._chars - self._reply_chars
        self._chars = self._reply_chars
        self.full = True
        self._finish = FinishReason.LENGTH
        return delta[: len(delta) - int(excess)]

    def tell(self, note: Note) -> tuple[str, bytes] | None:
        """The note's event, (event, data), where it is to be logged."""
        return ("note", encode(note)) if self._notes.tell(note) else None

    def pause(self) -> bool:
        if self.status not in (Status.QUEUED, Status.STREAMING):
            return False
        self.status = Status.PAUSED
        return True

    def resume(self) -> bool:
        if self.status is not Status.PAUSED:
            return False
        self.status = Status.QUEUED if self.first_token is None else Status.STREAMING
        return True

    # What goes to the log

    def take_events(self) -> list[tuple[str, bytes]]:
        """The deltas since the last call, merged by kind, encoded: (event, data)."""
        events: list[tuple[str, bytes]] = []
        for kind, pieces in self._pending:
            delta = pieces[0] if len(pieces) == 1 else "".join(pieces)
            if kind is Text:
                self._text.append(delta)
                events.append(("message", encode(MessageData(delta))))
            else:
                self._reasoning.append(delta)
                events.append(("reasoning", encode(ReasoningData(delta))))
        self._pending.clear()
        return events

    def snapshot(self, seq: int) -> Entry:
        """Everything that has been logged up to `seq`, as one entry."""
        notes = self._notes.standing(begun=self.first_token is not None)
        data = SnapshotData(self._text.whole(), self._reasoning.whole(), self.status.value, notes=notes)
        return Entry(seq, "snapshot", encode(data))

    # What goes to the store

    def take_unsaved(self, seq: int) -> Unsaved:
        """Logged pieces that `take_unsaved` has not handed out yet."""
        self._unsaved_notes = self._notes.take_unsaved()
        return Unsaved(self._text.take_new(), self._reasoning.take_new(), seq, self._unsaved_notes)

    def put_back_unsaved(self) -> None:
        """The store did not take what `take_unsaved` gave last."""
        self._text.put_back()
        self._reasoning.put_back()
        self._notes.put_back(self._unsaved_notes)

    # How it ends

    def conclude(self, now: float) -> Outcome:
        """The provider's stream has ended properly."""
        if self._finish is None:
            return self.fail(GenerationFailed(ErrorCode.UPSTREAM_PROTOCOL), now)
        if self._text.is_blank():
            filtered = self._finish is FinishReason.CONTENT_FILTER
            return self.fail(GenerationFailed(ErrorCode.CONTENT_FILTERED if filtered else ErrorCode.EMPTY_REPLY), now)
        return self._end(Status.COMPLETED, now, finish_reason=self._finish)

    def cancel(self, now: float) -> Outcome:
        return self._end(Status.CANCELLED, now, finish_reason=FinishReason.CANCELLED)

    def fail(self, error: GenerationFailed, now: float) -> Outcome:
        status = Status.INTERRUPTED if error.error_code is ErrorCode.INTERRUPTED else Status.FAILED
        return self._end(status, now, error=error)

    def _end(self, status: Status, now: float, **fields: Any) -> Outcome:
        assert self.live, "a generation ends once"
        assert not self._pending, "what came is logged before the end"
        self.status = status
        text, reasoning = self._text.whole(), self._reasoning.whole()
        self._text.clear()
        self._reasoning.clear()
        return Outcome(
            status,
            text,
            reasoning,
            self._usage or self._estimate(len(text) + len(reasoning)),
            first_token_ms=self.first_token_ms,
            duration_ms=round((now - self.started) * 1000),
            notes=self._notes.standing(begun=True),
            **fields,
        )

    def _estimate(self, output_chars: int) -> Usage:
        return Usage(
            -(-self._input_chars // CHARACTERS_PER_TOKEN), -(-output_chars // CHARACTERS_PER_TOKEN), estimated=True
        )
