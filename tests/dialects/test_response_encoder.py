"""What a client of the Responses API has got, it never gets again, and it misses nothing: from whatever number it
resumes, however the text was cut into deltas, and wherever a snapshot stands for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from chat.dialects.response_encoder import ResponseEncoder
from chat.dialects.response_events import NOTHING
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
from chat.services.responses import Asked
from chat.wire.sse import SSEDecoder

GENERATION = "01a00000-0000-7000-8000-000000000001"
FINISHED_AT = "2026-11-21T10:00:00.000Z"
ASKED = Asked(GENERATION)

Piece = tuple[str, str]
"""`message` or `reasoning`, and its delta."""

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
thoughts = st.lists(st.tuples(st.just("reasoning"), words), max_size=4)
answers = st.lists(st.tuples(st.just("message"), words), min_size=1, max_size=6)
replies = st.tuples(thoughts, answers).map(lambda parts: [*parts[0], *parts[1]])
mixed = st.lists(st.tuples(st.sampled_from(["message", "reasoning"]), words), max_size=8)


def said(pieces: list[Piece], kind: str) -> str:
    return "".join(delta for name, delta in pieces if name == kind)


def entries(pieces: list[Piece], snapshot: int = 0, *, finish: str = "stop", error: str | None = None) -> list[Entry]:
    """The events of a reply; one snapshot stands for the first so many."""
    start = StartData(GENERATION, "c", "u", "m", "provider", "model", "sse")
    data: list[tuple[str, bytes]] = [("start", encode(start))]
    for name, delta in pieces:
        data.append((name, encode(MessageData(delta) if name == "message" else ReasoningData(delta))))
    if error is None:
        data.append(("message", encode(FinalData(finish, Usage(3, 4), said(pieces, "message"), FINISHED_AT))))
    else:
        data.append(("error", encode(ErrorData("It failed.", error, {}, False))))
    log = [Entry(seq, *event) for seq, event in enumerate(data, 1)]
    if snapshot:
        before = pieces[: snapshot - 1]
        whole = SnapshotData(said(before, "message"), said(before, "reasoning"), "streaming")
        log = [Entry(snapshot, "snapshot", encode(whole)), *log[snapshot:]]
    return log


def read(log: list[Entry], after: int = NOTHING, asked: Asked = ASKED) -> list[dict[str, Any]]:
    encoder, decoder = ResponseEncoder(asked, "model", after), SSEDecoder()
    events = []
    for event in decoder.decode(b"".join(encoder.entry(entry) for entry in log)):
        data = json.loads(event.data)
        assert data["type"] == event.event
        events.append(data)
    return events


def deltas(events: list[dict[str, Any]], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["sequence_number"] for event in events]


@given(replies, st.data())
def test_two_connections_give_each_character_once(pieces: list[Piece], data: st.DataObject) -> None:
    places = st.integers(0, len(pieces) + 1)
    first = read(entries(pieces, data.draw(places)))
    got = first[: data.draw(st.integers(0, len(first)))]
    cursor = got[-1]["sequence_number"] if got else NOTHING
    second = read(entries(pieces, data.draw(places)), cursor)
    both = [*got, *second]
    assert numbers(both) == sorted(set(numbers(both)))
    assert deltas(both, "output_text") == said(pieces, "message")
    assert deltas(both, "reasoning_text") == said(pieces, "reasoning")
    assert both[-1]["type"] == "response.completed"
    structure = [event["type"] for event in both if not event["type"].endswith(".delta")]
    assert structure == [event["type"] for event in first if not event["type"].endswith(".delta")]


@given(mixed, st.sampled_from([None, "UPSTREAM_TIMEOUT"]), st.data())
def test_thoughts_in_the_middle_of_an_answer_move_none_of_its_characters(
    pieces: list[Piece], error: str | None, data: st.DataObject
) -> None:
    places = st.integers(0, len(pieces) + 1)
    log = entries(pieces, data.draw(places), error=error)
    first = read(log)
    got = first[: data.draw(st.integers(1, len(first)))]
    both = [*got, *read(entries(pieces, data.draw(places), error=error), got[-1]["sequence_number"])]
    assert numbers(both) == sorted(set(numbers(both)))
    assert deltas(both, "output_text") == said(pieces, "message")
    assert said(pieces, "reasoning").startswith(deltas(both, "reasoning_text"))
    output = first[-1]["response"]["output"]
    for event in first:
        if "item" in event:
            assert output[event["output_index"]]["id"] == event["item"]["id"]
    items = {item["type"]: item["content"][0]["text"] for item in output}
    assert items.get("message", "") == said(pieces, "message")
    assert items.get("reasoning", "") == said(pieces, "reasoning")


@given(replies, st.data())
def test_a_snapshot_in_mid_stream_and_a_text_that_only_the_end_has(pieces: list[Piece], data: st.DataObject) -> None:
    """What a reader gets whose worker was lost in between."""
    log = entries(pieces)
    at, to = sorted((data.draw(st.integers(1, len(log) - 1)), data.draw(st.integers(1, len(log) - 1))))
    missed = [*log[:at], log[-1]]
    assert deltas(read(missed), "output_text") == said(pieces, "message")
    caught_up = [*log[:at], *entries(pieces, to)]
    assert deltas(read(caught_up), "output_text") == said(pieces, "message")
    assert deltas(read(caught_up), "reasoning_text") == said(pieces, "reasoning")


ALL = [("reasoning", "Hm. "), ("reasoning", "So."), ("message", "One, "), ("message", "two.")]


@pytest.mark.parametrize(
    ("finish", "error", "type", "status"),
    [
        ("stop", None, "response.completed", "completed"),
        ("length", None, "response.incomplete", "incomplete"),
        ("content_filter", None, "response.incomplete", "incomplete"),
        ("cancelled", None, "response.incomplete", "cancelled"),
        ("", "UPSTREAM_RATE_LIMITED", "response.failed", "failed"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_every_event_is_one_that_the_official_types_know(
    finish: str, error: str | None, type: str, status: str, background: bool
) -> None:
    asked = Asked(GENERATION, background=background, metadata={"a": "b"}, instructions="Be kind.")
    events = read(entries(ALL, finish=finish, error=error), asked=asked)
    known: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        assert known.validate_python(event, strict=True).type == event["type"]
    opening = ["response.created", *(["response.queued"] if background else []), "response.in_progress"]
    assert [event["type"] for event in events] == [
        *opening,
        *("response.output_item.added", "response.content_part.added"),
        *("response.reasoning_text.delta", "response.reasoning_text.delta", "response.reasoning_text.done"),
        *("response.content_part.done", "response.output_item.done"),
        *("response.output_item.added", "response.content_part.added"),
        *("response.output_text.delta", "response.output_text.delta", "response.output_text.done"),
        *("response.content_part.done", "response.output_item.done"),
        type,
    ]
    response = Response.model_validate(events[-1]["response"], strict=True)
    assert (response.status, response.output_text, response.metadata) == (status, "One, two.", {"a": "b"})
    assert response.created_at == (0x01A00000_0000 // 1000)
    if error is None:
        assert response.usage is not None
        assert response.usage.total_tokens == 7
    else:
        assert response.error is not None
        assert (response.error.code, response.error.message) == ("rate_limit_exceeded", "It failed.")


@given(replies, st.data())
def test_a_stream_that_ends_before_its_reply_says_so_and_is_resumed_from_there(
    pieces: list[Piece], data: st.DataObject
) -> None:
    log = entries(pieces)
    encoder, told = ResponseEncoder(ASKED, "model"), data.draw(st.integers(0, len(log) - 1))
    blocks = SSEDecoder().decode(b"".join(encoder.entry(entry) for entry in log[:told]) + encoder.cut())
    *first, cut = [json.loads(block.data) for block in blocks]
    known: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    assert known.validate_python(cut, strict=True).type == "error"
    rest = read(log, cut["sequence_number"])
    assert deltas([*first, *rest], "output_text") == said(pieces, "message")
    assert rest[-1]["type"] == "response.completed"


def test_who_answers_in_the_place_of_another_is_named() -> None:
    log = entries(ALL)
    fallback = Note("fallback", {"provider": "other", "model": "stand-in", "asked": "provider"})
    events = read([log[0], Entry(2, "note", encode(fallback)), *log[1:]])
    assert (events[0]["response"]["model"], events[-1]["response"]["model"]) == ("model", "stand-in")
