"""What is recorded of a reply that may be kept."""

from __future__ import annotations

import sys

import pytest

from chat.events import Finish, FinishReason, ProviderEvent, Reasoning, Text, Usage
from chat.providers.resilience.reply_cache import Kept, Recording

STOP = Finish(FinishReason.STOP)


def recorded(*events: ProviderEvent, longest: int = 10_000) -> Kept | None:
    recording = Recording(longest)
    for event in events:
        recording.take([event])
    return recording.kept()


def test_a_reply_is_kept_that_said_something_and_stopped_by_itself() -> None:
    said = (Reasoning("hm"), Text("wo"), Text("rds"), Usage(1, 1), Usage(1, 2))
    assert recorded(*said, STOP) == Kept("words", "hm", Usage(1, 2))
    assert recorded(Text("words"), STOP) == Kept("words", "", None)
    assert recorded(*said) is None
    assert recorded(*said, Finish(FinishReason.LENGTH)) is None
    assert recorded(Reasoning("hm"), Text(" "), STOP) is None


@pytest.mark.parametrize("piece", ["a", "汉", "😀", "hm汉"])
def test_a_reply_is_recorded_as_long_as_it_would_be_kept(piece: str) -> None:
    words, thoughts = [Text(piece)] * 3000, [Reasoning("x")] * 2000
    whole = Kept(piece * 3000, "x" * 2000, None)
    assert recorded(*words, *thoughts, STOP, longest=whole.bytes) == whole
    assert recorded(*words, *thoughts, STOP, longest=whole.bytes - 1) is None


def test_a_recording_takes_little_more_than_what_it_holds_and_nothing_once_it_is_too_long() -> None:
    recording = Recording(200_000)
    most = 0
    for _ in range(100_000):
        recording.take([Text("a")])
        most = max(most, len(recording._text._pieces))
    assert most < 5_000, "they are joined now and then"
    assert sum(map(sys.getsizeof, recording._text._pieces)) <= recording.bytes <= 200_000
    recording.take([Text("汉" * 100_000), Text("a")])
    assert recording._text._pieces == []
    recording.take([Text("a"), STOP])
    assert recording._text._pieces == []
    assert recording.kept() is None
