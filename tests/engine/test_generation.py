"""A generation's states, its merging of deltas, its bound, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from chat.engine.generation import CHARACTERS_PER_TOKEN, Generation, Outcome, Unsaved
from chat.errors import ErrorCode, GenerationFailed
from chat.events import Finish, FinishReason, Reasoning, Status, Text, Usage

STARTED = 100.0
NOW = 101.5


def generation(reply_chars: int | None = None, input_chars: int = 0) -> Generation:
    return Generation("g", started=STARTED, reply_chars=reply_chars, input_chars=input_chars)


def fed(*events: Text | Reasoning | Usage | Finish, reply_chars: int | None = None) -> Generation:
    it = generation(reply_chars)
    for event in events:
        it.feed([event])
    it.take_events()
    return it


def events_of(it: Generation) -> list[tuple[str, object]]:
    return [(event, json.loads(data)) for event, data in it.take_events()]


# The states


def test_it_begins_queued_and_streams_from_its_first_token() -> None:
    it = generation()
    assert (it.status, it.live) == (Status.QUEUED, True)
    it.begin(NOW)
    assert (it.status, it.first_token, it.live) == (Status.STREAMING, NOW, True)


def test_a_pause_before_the_first_token_returns_to_the_queue() -> None:
    it = generation()
    assert it.pause()
    assert it.status is Status.PAUSED
    assert it.resume()
    assert it.status is Status.QUEUED


def test_a_pause_in_mid_reply_returns_to_streaming() -> None:
    it = generation()
    it.begin(NOW)
    assert it.pause()
    assert it.resume()
    assert it.status is Status.STREAMING


def test_a_first_token_that_comes_while_paused_leaves_it_paused() -> None:
    it = generation()
    it.pause()
    it.begin(NOW)
    assert it.status is Status.PAUSED
    it.resume()
    assert it.status is Status.STREAMING


def test_pausing_and_resuming_twice_change_nothing() -> None:
    it = generation()
    assert not it.resume()
    assert it.pause()
    assert not it.pause()
    assert it.resume()
    assert not it.resume()
    assert it.status is Status.QUEUED


def completed(it: Generation) -> Outcome:
    it.feed([Text("x")])
    it.feed([Finish(FinishReason.STOP)])
    it.take_events()
    return it.conclude(NOW)


ENDINGS: list[tuple[Status, Callable[[Generation], Outcome]]] = [
    (Status.COMPLETED, completed),
    (Status.CANCELLED, lambda it: it.cancel(NOW)),
    (Status.FAILED, lambda it: it.fail(GenerationFailed(ErrorCode.UPSTREAM_AUTH), NOW)),
    (Status.INTERRUPTED, lambda it: it.fail(GenerationFailed(ErrorCode.INTERRUPTED), NOW)),
]
BEFORE: dict[Status, Callable[[Generation], object]] = {
    Status.QUEUED: lambda it: None,
    Status.STREAMING: lambda it: it.begin(NOW),
    Status.PAUSED: lambda it: it.pause(),
}


@pytest.mark.parametrize(("status", "end"), ENDINGS, ids=[status.value for status, _end in ENDINGS])
@pytest.mark.parametrize("before", BEFORE)
def test_every_live_state_can_end_in_every_way(
    before: Status, status: Status, end: Callable[[Generation], Outcome]
) -> None:
    it = generation()
    BEFORE[before](it)
    assert it.status is before
    outcome = end(it)
    assert (outcome.status, it.status, it.live) == (status, status, False)


@pytest.mark.parametrize(("status", "first"), ENDINGS, ids=[status.value for status, _end in ENDINGS])
def test_an_ended_generation_never_changes_again(status: Status, first: Callable[[Generation], Outcome]) -> None:
    it = generation()
    first(it)
    assert not it.pause()
    assert not it.resume()
    it.begin(NOW)
    assert it.status is status
    for again in (it.cancel, it.conclude, lambda now: it.fail(GenerationFailed(ErrorCode.INTERRUPTED), now)):
        with pytest.raises(AssertionError):
            again(NOW)
    assert it.status is status


# What comes in and what is logged


def test_deltas_of_a_kind_leave_as_one_event() -> None:
    it = generation()
    assert all(it.feed([Text(piece)]) for piece in ("One", " ", "event"))
    assert events_of(it) == [("message", {"delta": "One event", "isFinal": False})]
    assert it.take_events() == []


def test_kinds_keep_their_order() -> None:
    it = generation()
    for event in (Reasoning("a"), Reasoning("b"), Text("c"), Reasoning("d"), Text("e"), Text("f")):
        it.feed([event])
    assert events_of(it) == [
        ("reasoning", {"delta": "ab"}),
        ("message", {"delta": "c", "isFinal": False}),
        ("reasoning", {"delta": "d"}),
        ("message", {"delta": "ef", "isFinal": False}),
    ]


def test_usage_and_finish_are_nothing_to_log() -> None:
    it = generation()
    assert not it.feed([Usage(1, 2)])
    assert not it.feed([Finish(FinishReason.STOP)])
    assert it.take_events() == []


def test_the_snapshot_holds_what_was_logged_and_no_more() -> None:
    it = generation()
    it.feed([Reasoning("thought")])
    it.feed([Text("said, ")])
    it.take_events()
    it.feed([Text("and not logged yet")])
    entry = it.snapshot(7)
    assert (entry.seq, entry.event) == (7, "snapshot")
    assert json.loads(entry.data) == {
        "text": "said, ",
        "reasoning": "thought",
        "status": "queued",
        "steps": [],
        "images": [],
        "notes": [],
    }


def test_each_piece_is_handed_out_for_saving_once() -> None:
    it = fed(Text("a"), Reasoning("r"))
    assert it.take_unsaved(3) == Unsaved("a", "r", 3)
    assert it.take_unsaved(3) == Unsaved("", "", 3)
    it.feed([Text("b")])
    assert it.take_unsaved(3) == Unsaved("", "", 3), "what is not logged yet is not saved either"
    it.take_events()
    it.feed([Text("c")])
    it.take_events()
    assert it.take_unsaved(5) == Unsaved("bc", "", 5)


# The bound


def test_a_reply_over_the_bound_is_cut_there_and_ends_for_its_length() -> None:
    it = generation(reply_chars=10)
    assert it.feed([Reasoning("1234")])
    assert it.feed([Text("5678")])
    assert not it.full
    assert it.feed([Text("90abc")])
    assert it.full
    assert not it.feed([Text("more")])
    it.feed([Finish(FinishReason.STOP)])
    it.take_events()
    outcome = it.conclude(NOW)
    assert (outcome.reasoning, outcome.text) == ("1234", "567890")
    assert (outcome.status, outcome.finish_reason) == (Status.COMPLETED, FinishReason.LENGTH)


def test_a_reply_of_exactly_the_bound_is_whole() -> None:
    it = fed(Text("0123456789"), Finish(FinishReason.STOP), reply_chars=10)
    assert not it.full
    assert it.conclude(NOW).finish_reason is FinishReason.STOP


def test_one_character_over_an_exact_fill_adds_no_empty_delta() -> None:
    it = generation(reply_chars=4)
    it.feed([Text("1234")])
    it.take_events()
    assert not it.feed([Text("5")])
    assert it.take_events() == []
    assert it.conclude(NOW).finish_reason is FinishReason.LENGTH


# The end


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
def test_a_proper_end_with_text_completes_with_the_upstreams_reason(reason: FinishReason) -> None:
    outcome = fed(Text("te"), Text("xt"), Finish(reason)).conclude(NOW)
    assert (outcome.status, outcome.finish_reason, outcome.text, outcome.error) == (
        Status.COMPLETED,
        reason,
        "text",
        None,
    )


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([Finish(FinishReason.STOP)], ErrorCode.EMPTY_REPLY),
        ([Text(" \n"), Text("\t"), Finish(FinishReason.STOP)], ErrorCode.EMPTY_REPLY),
        ([Reasoning("only thought"), Finish(FinishReason.STOP)], ErrorCode.EMPTY_REPLY),
        ([Finish(FinishReason.CONTENT_FILTER)], ErrorCode.CONTENT_FILTERED),
        ([Reasoning("hm"), Finish(FinishReason.CONTENT_FILTER)], ErrorCode.CONTENT_FILTERED),
        ([Text("cut off")], ErrorCode.UPSTREAM_PROTOCOL),
    ],
    ids=["nothing", "blanks", "only thoughts", "refused", "refused after a thought", "no end mark"],
)
def test_an_end_without_a_reply_is_a_failure(events: list[Text | Reasoning | Finish], code: ErrorCode) -> None:
    outcome = fed(*events).conclude(NOW)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert outcome.error.error_code is code
    assert outcome.finish_reason is None


def test_a_failure_keeps_the_text_that_came() -> None:
    outcome = fed(Reasoning("r"), Text("partial")).fail(GenerationFailed(ErrorCode.UPSTREAM_TIMEOUT), NOW)
    assert (outcome.text, outcome.reasoning) == ("partial", "r")


def test_a_stop_keeps_the_text_and_is_a_good_end() -> None:
    outcome = fed(Text("partial")).cancel(NOW)
    assert (outcome.status, outcome.finish_reason, outcome.text, outcome.error) == (
        Status.CANCELLED,
        FinishReason.CANCELLED,
        "partial",
        None,
    )


def test_what_came_must_be_logged_before_the_end() -> None:
    it = generation()
    it.feed([Text("not logged")])
    with pytest.raises(AssertionError):
        it.cancel(NOW)


# Usage and times


def test_the_upstreams_last_usage_wins() -> None:
    outcome = fed(Text("x"), Usage(1, 1), Usage(10, 20), Finish(FinishReason.STOP)).conclude(NOW)
    assert outcome.usage == Usage(10, 20)


def test_without_the_upstreams_usage_it_is_estimated_and_says_so() -> None:
    it = generation(input_chars=10)
    it.feed([Text("x" * 7)])
    it.feed([Reasoning("y" * 6)])
    it.take_events()
    usage = it.cancel(NOW).usage
    assert CHARACTERS_PER_TOKEN == 3
    assert usage == Usage(4, 5, estimated=True), "rounded up"


def test_times_are_in_milliseconds_from_the_start() -> None:
    it = generation()
    it.begin(STARTED + 0.25)
    outcome = it.cancel(STARTED + 1.5)
    assert (outcome.first_token_ms, outcome.duration_ms) == (250, 1500)
    assert generation().cancel(STARTED).first_token_ms is None
