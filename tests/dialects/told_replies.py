"""Replies as a reader may be told them: split anywhere, with a snapshot in the place of any events."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from hypothesis import strategies as st

from chat.events import (
    Entry,
    ErrorData,
    FinalData,
    MessageData,
    Note,
    ReasoningData,
    SnapshotData,
    StartData,
    Usage,
    encode,
)

START = StartData("generation", "conversation", "question", "message", "provider", "model", "sse")

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)


@dataclass(frozen=True)
class ToldReply:
    """`text` and `reasoning`: what must have been told of both, with `before`, which is (text, reasoning) of the
    message before it was continued; `notes`: how many."""

    entries: list[Entry]
    before: tuple[str, str]
    text: str
    reasoning: str
    notes: int
    failed: bool


@st.composite
def told_replies(draw: st.DrawFn, *, continued: bool = True) -> ToldReply:
    pieces = draw(st.lists(st.tuples(st.sampled_from(["text", "reasoning"]), WORDS), max_size=8))
    before = draw(st.tuples(WORDS, WORDS) | st.just(("", ""))) if continued else ("", "")
    note = draw(st.sampled_from([None, Note("trimmed", {"left_out": 2})]))
    events: list[tuple[str, msgspec.Struct]] = [("start", START)]
    events += [("note", note)] if note is not None else []
    events += [
        ("message", MessageData(words)) if kind == "text" else ("reasoning", ReasoningData(words))
        for kind, words in pieces
    ]
    text, reasoning = ("".join(words for kind, words in pieces if kind == wanted) for wanted in ("text", "reasoning"))
    # Events from `first` to `last` are gone: the log has let them go, or a restart has lost them.
    first, last = sorted((draw(st.integers(0, len(events))), draw(st.integers(0, len(events)))))
    if first < last:
        events[first:last] = [("snapshot", _snapshot(events[:last]))]
    failed = draw(st.booleans())
    ended: tuple[str, msgspec.Struct] = (
        ("error", ErrorData("It broke.", "UPSTREAM_TIMEOUT", {}, True))
        if failed
        else ("message", FinalData("stop", Usage(1, 2), text, "2026-01-01T00:00:00Z"))
    )
    if not failed and draw(st.booleans()):
        events = [event for event in events if event[0] != "message"] or [("start", START)]  # only the end has them
    entries = [Entry(seq, name, encode(data)) for seq, (name, data) in enumerate([*events, ended], 1)]
    return ToldReply(entries, before, before[0] + text, before[1] + reasoning, int(note is not None), failed)


def _snapshot(events: list[tuple[str, msgspec.Struct]]) -> SnapshotData:
    snapshot = SnapshotData("", "", "streaming")
    for _name, data in events:
        if isinstance(data, MessageData):
            snapshot = msgspec.structs.replace(snapshot, text=snapshot.text + data.delta)
        elif isinstance(data, ReasoningData):
            snapshot = msgspec.structs.replace(snapshot, reasoning=snapshot.reasoning + data.delta)
        elif isinstance(data, Note):
            snapshot = msgspec.structs.replace(snapshot, notes=[data])
    return snapshot
