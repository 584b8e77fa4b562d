"""Every captured stream over a real socket, cut at every place and in every way."""

from __future__ import annotations

from typing import Any

import pytest

from chat.errors import ErrorCode
from tests.providers.captured import Scene, each_capture, scene
from tests.upstreams.capture import CAPTURES, Capture
from tests.upstreams.played import End, Play, message

__all__ = ["scene"]

CUTS = 40
"""Points at which one capture is cut, at most."""

CUT: dict[str, tuple[End, bool, ErrorCode]] = {
    "the body ends": ("orderly", True, ErrorCode.UPSTREAM_PROTOCOL),
    "the connection ends": ("orderly", False, ErrorCode.UPSTREAM_PROTOCOL),
    "closed too early": ("short", True, ErrorCode.UPSTREAM_UNAVAILABLE),
    "reset": ("reset", True, ErrorCode.UPSTREAM_UNAVAILABLE),
}


def places(capture: Capture) -> list[int]:
    """After how many frames it is cut: everywhere, or all over a long capture."""
    if capture.required <= CUTS:
        return list(range(capture.required))
    return sorted({round(at * (capture.required - 1) / (CUTS - 1)) for at in range(CUTS)})


def cuts() -> list[Any]:
    return [
        pytest.param(capture, cut, id=f"{name}-{kind}")
        for name, capture in CAPTURES.items()
        for kind, cut in CUT.items()
        if not (capture.stream.ends_by_closing and cut[0] == "orderly")
    ]


@pytest.mark.parametrize(("scene", "cut"), cuts(), indirect=["scene"])
async def test_a_reply_that_is_cut_after_any_frame_fails(scene: Scene, cut: tuple[End, bool, ErrorCode]) -> None:
    end, chunked, code = cut
    frames, said = scene.capture.frames, 0
    for count in places(scene.capture):
        if end == "orderly" and count in scene.capture.stream.early_ends:
            continue
        error, reply = await scene.fail(Play(frames[:count], end, chunked=chunked))
        assert error.error_code is code, f"after {count} frames"
        assert len(scene.upstream.sent) == 1, "nobody is asked again"
        scene.upstream.sent.clear()
        if end != "reset":  # which may overtake what was sent before it
            assert len(reply.text) + len(reply.reasoning) >= said
            said = len(reply.text) + len(reply.reasoning)


@pytest.mark.parametrize("kind", CUT)
@each_capture
async def test_a_reply_that_is_cut_inside_a_character_fails(scene: Scene, kind: str) -> None:
    end, chunked, code = CUT[kind]
    *before, cut = inside_a_character(scene.capture)
    if scene.capture.is_socket:
        # Half a message is no orderly end, whatever follows it.
        end, code = "short" if end == "orderly" else end, ErrorCode.UPSTREAM_UNAVAILABLE
        wire = [*(message(frame) for frame in before), message(scene.capture.frames[len(before)])[: -len(cut)]]
        play = Play(wire, end, framed=False)
    else:
        play = Play([*before, cut], end, chunked=chunked)
    error, _reply = await scene.fail(play)
    assert error.error_code is code


def inside_a_character(capture: Capture) -> list[bytes]:
    """The frames before the first of several bytes a character, and the half of it that ends inside one."""
    frames = capture.frames
    number = next(number for number, frame in enumerate(frames) if not frame.isascii())
    assert number < capture.required
    inside = next(at for at, byte in enumerate(frames[number]) if byte > 0x7F) + 1
    return [*frames[:number], frames[number][:inside]]
