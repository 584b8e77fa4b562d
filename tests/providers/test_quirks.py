"""What real upstreams do to their streams without meaning anything by it: none of it changes a captured reply."""

from __future__ import annotations

import pytest

from chat.errors import ErrorCode
from tests.providers.captured import Scene, each_capture, scene
from tests.providers.conftest import until
from tests.upstreams.capture import CAPTURES, framed
from tests.upstreams.played import Play
from tests.upstreams.quirks import QUIRKS, quirks_of

__all__ = ["scene"]

each_stream = pytest.mark.parametrize(
    "scene",
    [capture for capture in CAPTURES.values() if capture.stream.framing == "sse"],
    ids=[name for name, capture in CAPTURES.items() if capture.stream.framing == "sse"],
    indirect=True,
)


@pytest.mark.parametrize(
    ("scene", "quirk"),
    [pytest.param(capture, quirk, id=f"{name}-{quirk}")
     for name, capture in CAPTURES.items() for quirk in quirks_of(capture)],
    indirect=["scene"],
)  # fmt: skip
async def test_a_quirk_changes_nothing(scene: Scene, quirk: str) -> None:
    play = QUIRKS[quirk].play(scene.capture)
    assert play is not None
    scene.check_whole(await scene.ask(play))
    await until(lambda: scene.upstream.open == 0)
    assert len(scene.upstream.sent) == 1


@each_capture
async def test_what_is_no_quirk_here_is_one_that_there_is(scene: Scene) -> None:
    assert set(scene.capture.stream.not_quirks) <= QUIRKS.keys()


@each_stream
async def test_an_end_mark_behind_an_error_object_makes_no_reply_of_it(scene: Scene) -> None:
    stream = scene.capture.stream
    trouble, half = framed(stream.framing, stream.try_later), scene.capture.frames[: scene.capture.required // 2]
    for before in ([], half):
        error, _reply = await scene.fail(Play([*before, *trouble, b"data: [DONE]\n\n"]))
        assert error.error_code is stream.try_later_code


@each_stream
async def test_an_event_without_its_empty_line_counts_only_when_it_is_whole(scene: Scene) -> None:
    *before, last = scene.capture.frames[: scene.capture.required]
    error, _reply = await scene.fail(Play([*before, last.rstrip(b"\n")[:-1]]))
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    "scene",
    [capture for capture in CAPTURES.values() if capture.leaves_closing_to_client],
    ids=[name for name, capture in CAPTURES.items() if capture.leaves_closing_to_client],
    indirect=True,
)
async def test_what_follows_the_end_mark_is_not_read(scene: Scene) -> None:
    frames = scene.capture.frames
    scene.check_whole(await scene.ask(Play([*frames, *frames], "hold", reads="whole")))
