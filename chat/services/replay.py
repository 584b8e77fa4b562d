"""A generation that the log does not hold any more, rebuilt from the database as the entries a reader still needs."""

from __future__ import annotations

from chat.engine.terminal import timestamp
from chat.events import ENDED, Entry, ErrorData, FinalData, Note, SnapshotData, Status, Usage, encode
from chat.models import Generation
from chat.services import notes
from chat.services.records import error_record, generation_texts, usage_record


def is_ended(generation: Generation) -> bool:
    return Status(generation.status) in ENDED


def entries_after(generation: Generation, after: int) -> list[Entry]:
    """Of an ended generation, fetched with its message: nothing when the cursor is at the end; the terminal event alone
    when only that is missing; else one snapshot for everything before it, then the terminal event."""
    if after >= generation.seq:
        return []
    terminal = _terminal(generation)
    if after == generation.seq - 1:
        return [terminal]
    text, reasoning = generation_texts(generation)
    snapshot = SnapshotData(text, reasoning, generation.status, notes=notes.of_row(generation.notes, Note))
    return [Entry(generation.seq - 1, "snapshot", encode(snapshot)), terminal]


def _terminal(generation: Generation) -> Entry:
    error = error_record(generation)
    if error is not None:
        return Entry(
            generation.seq, "error", encode(ErrorData(error.error, error.code, error.details, error.retryable))
        )
    usage = usage_record(generation)
    assert usage is not None, "a good end has its usage"
    assert generation.finished_at is not None, "an ended generation has its time"
    final = FinalData(
        generation.finish_reason,
        Usage(usage.input_tokens, usage.output_tokens, usage.estimated),
        generation_texts(generation)[0],
        timestamp(generation.finished_at),
    )
    return Entry(generation.seq, "message", encode(final))
