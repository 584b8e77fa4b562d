"""The last event of a run."""

from __future__ import annotations

from datetime import UTC, datetime

from chat.engine.generation import Outcome
from chat.errors import RETRYABLE, ErrorCode
from chat.events import Entry, ErrorData, FinalData, SnapshotData, Status, encode, encode_long


def terminal_event(outcome: Outcome, error_words: str, finished_at: datetime) -> tuple[str, bytes | bytearray]:
    """The last event of a run: (event, data)."""
    if outcome.error is not None:
        error = outcome.error
        return "error", encode(ErrorData(error_words, error.code, error.details, error.retryable))
    assert outcome.finish_reason is not None
    final = FinalData(outcome.finish_reason.value, outcome.usage, outcome.text, timestamp(finished_at))
    return "message", encode_long(final, len(outcome.text))


def timestamp(moment: datetime) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def snapshot_of(outcome: Outcome, seq: int) -> Entry:
    """All that was said, for old cursors while the end is not out yet."""
    data = SnapshotData(outcome.text, outcome.reasoning, Status.STREAMING.value, notes=outcome.notes)
    return Entry(seq, "snapshot", encode(data))


def interruption(words: str) -> tuple[str, bytes]:
    """Of a run whose end nobody could store, or whose worker has gone: (event, data)."""
    code = ErrorCode.INTERRUPTED
    return "error", encode(ErrorData(words, code.value, {}, code in RETRYABLE))
