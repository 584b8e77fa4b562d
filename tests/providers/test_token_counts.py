"""Counts of tokens: what is one, and that none, however malformed, costs a reply anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from chat.providers.token_counts import MOST, tokens, tokens_at, total
from tests.providers.captured import Scene, each_capture, scene
from tests.upstreams.quirks import changed

__all__ = ["scene"]

COUNT = re.compile("_tokens$|TokenCount$|eval_count$")
COUNTS = re.compile("usage|usageMetadata|metrics")
STRANGE_COUNTS: list[Any] = [-5, 10**20, 10**400, 2**31, 2.5, True, "n/a", "-1", "9" * 5000, [], {"x": 1}, None]


def replacing(is_place: Callable[[str], object], strange: Any) -> Callable[[Any], Any]:
    """What stands at such names, wherever they are, gives way to this, or to what this makes of it."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: (strange(item) if callable(strange) else strange) if is_place(name) else replaced(item)
                for name, item in value.items()
            }
        return [replaced(item) for item in value] if isinstance(value, list) else value

    return replaced


@pytest.mark.parametrize("strange", STRANGE_COUNTS, ids=lambda count: repr(count)[:12])
@each_capture
async def test_a_count_that_is_none_costs_nothing_but_itself(scene: Scene, strange: Any) -> None:
    """Of each, the whole reply stands; in the place of a count, and of the object that holds them."""
    capture = scene.capture
    for is_place in (lambda name: COUNT.search(name), lambda name: COUNTS.fullmatch(name)):
        same, frames = (
            [changed(frame, capture.stream.framing, change) for frame in capture.frames]
            for change in (lambda value: value, replacing(is_place, strange))
        )
        reply = await scene.ask(scene.complete(frames))
        scene.check_whole(reply, counted=frames == same)
        assert frames == same or reply.usage is None


@each_capture
async def test_counts_may_be_texts(scene: Scene) -> None:
    def as_text(value: Any) -> Any:
        return str(value) if type(value) is int else value

    capture = scene.capture
    texts = replacing(COUNT.search, as_text)
    frames = [changed(frame, capture.stream.framing, texts) for frame in capture.frames]
    scene.check_whole(await scene.ask(scene.complete(frames)))


@each_capture
async def test_no_count_is_larger_than_a_database_can_hold(scene: Scene) -> None:
    """Sums of what may be counted neither."""
    capture = scene.capture
    largest = replacing(COUNT.search, MOST)
    frames = [changed(frame, capture.stream.framing, largest) for frame in capture.frames]
    reply = await scene.ask(scene.complete(frames))
    scene.check_whole(reply, counted=False)
    if capture.reply.output_tokens is not None:
        assert reply.usage is not None
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (MOST, MOST)


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (MOST, MOST), (12.0, 12), ("12", 12), (str(MOST), MOST), (str(MOST + 1), None), ("", None), ("١", None),
     (float("inf"), None), (float("nan"), None), (False, None), *((strange, None) for strange in STRANGE_COUNTS)],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_a_count_is_a_number_that_a_database_can_hold(value: Any, count: int | None) -> None:
    assert tokens(value) == count


def test_a_usage_that_is_no_object_says_nothing() -> None:
    assert tokens_at({"n": 7}, "n") == 7
    assert [tokens_at(usage, "n") for usage in ({}, None, 7, "n", ["n"])] == [None] * 5


def test_a_total_is_of_what_is_known() -> None:
    assert (total(), total(None), total(1, None, 2), total(MOST, 1)) == (None, None, 3, MOST)
