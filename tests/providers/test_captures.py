"""Every captured stream over a real socket: as it came, and in each way in which it could have come badly."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Opcode

from chat.errors import WORDS, Cause, ErrorCode, UpstreamError
from chat.events import Finish, FinishReason
from chat.providers.base import Turn
from chat.providers.continuing import CONTINUE
from tests.providers.captured import Scene, check_secrecy, each_capture, scene
from tests.providers.conftest import Reply, read, until
from tests.upstreams.capture import CAPTURES, PICTURE, Capture, Refusal, framed, load, missing, paths
from tests.upstreams.played import Play, Reads, message
from tests.upstreams.rig import main_of

__all__ = ["scene"]

OVER_EVERY_LIMIT = {"sse": 5 << 20, "ndjson": 5 << 20, "frames": 17 << 20}
PROSE = re.compile(r'[^"<>\\\n]*\w \w[^"<>\\\n]*')
HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><p>nginx</p></body></html>"


def each(cases: Callable[[Capture], list[Any]]) -> pytest.MarkDecorator:
    """Of every capture, these: `case` beside `scene`."""
    found = [
        pytest.param(capture, case, id=f"{name}-#{number}")
        for name, capture in CAPTURES.items()
        for number, case in enumerate(cases(capture), 1)
    ]
    return pytest.mark.parametrize(("scene", "case"), found, indirect=["scene"])


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_the_fixture_is_well_formed(path: Path) -> None:
    assert load(path).source


# What is asked


@each_capture
async def test_the_request_is_what_the_upstream_wants(scene: Scene) -> None:
    wanted = scene.capture.request
    await scene.ask(scene.complete())
    (sent,) = scene.upstream.sent
    assert sent.path == wanted.path
    assert missing(wanted.query, sent.query, "query") is None
    assert missing({name.lower(): value for name, value in wanted.headers.items()}, sent.headers, "headers") is None
    assert missing(json.loads(wanted.json), sent.content()) is None


@each_capture
async def test_pictures_are_sent_or_refused_before_anybody_is_asked(scene: Scene) -> None:
    pictures = scene.capture.pictures
    if pictures is not None:
        scene.check_whole(await scene.ask(scene.complete(), PICTURE))
        (sent,) = scene.upstream.sent
        assert missing(json.loads(pictures.json), sent.content()) is None
        return
    with pytest.raises(UpstreamError) as failure:
        await scene.ask(scene.complete(), PICTURE)
    assert (failure.value.error_code, failure.value.attempt_again) == (ErrorCode.UPSTREAM_REJECTED, False)
    assert failure.value.details["cause"] is Cause.PICTURES
    assert scene.upstream.connections == 0


@each_capture
async def test_an_unfinished_answer_is_sent_to_be_gone_on_with(scene: Scene) -> None:
    asked = scene.capture.question()
    scene.upstream.play = scene.complete()
    await read(scene.provider, replace(asked, turns=(*asked.turns, Turn("assistant", "Two, and half a"))))
    (sent,) = scene.upstream.sent
    said = json.dumps(sent.content(), ensure_ascii=False)
    assert "Two, and half a" in said
    assert (CONTINUE in said) is not scene.provider.prefills


# The whole reply


@pytest.mark.parametrize("reads", ["whole", "frames", "bytes"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until the end"])
@each_capture
async def test_the_reply_is_whole_however_it_is_read(scene: Scene, reads: Reads, chunked: bool) -> None:
    scene.check_whole(await scene.ask(scene.complete(reads=reads, chunked=chunked)))
    await until(lambda: scene.upstream.open == 0)
    assert len(scene.upstream.sent) == 1
    assert scene.upstream.connections == 1 + len(scene.capture.routes)


@each_capture
async def test_the_reply_is_whole_without_its_optional_tail(scene: Scene) -> None:
    frames = scene.capture.frames
    for count in range(scene.capture.required, len(frames) + 1):
        scene.check_whole(await scene.ask(scene.complete(frames[:count])), counted=count == len(frames))


@each_capture
async def test_the_reply_is_whole_when_its_optional_tail_is_cut(scene: Scene) -> None:
    """In the middle of a frame: what came of it means nothing."""
    frames, required = scene.capture.frames, scene.capture.required
    for number in range(required, len(frames)):
        wire = [*frames[:number], frames[number][: len(frames[number]) // 2]]
        scene.check_whole(await scene.ask(scene.complete(wire)), counted=False)


@each_capture
async def test_replies_at_the_same_time_do_not_mix(scene: Scene) -> None:
    scene.upstream.play = scene.complete()
    replies = await asyncio.gather(*(read(scene.provider, scene.capture.question()) for _ in range(8)))
    for reply in replies:
        scene.check_whole(reply)
    assert len(scene.upstream.sent) == len(replies)


@each_capture
async def test_an_early_end_leaves_a_reply_to_be_continued(scene: Scene) -> None:
    for count in scene.capture.stream.early_ends:
        reply = await scene.ask(Play(scene.capture.frames[:count]))
        assert (reply.text, reply.finishes) == (scene.capture.reply.text, [Finish(FinishReason.LENGTH)])


# In the middle of a reply


def in_the_middle(capture: Capture, *strange: bytes) -> Play:
    """What is strange comes after half of the reply, and the rest behind it."""
    half, frames = capture.required // 2, capture.frames
    return Play([*frames[:half], *strange, *frames[half:]], "hold" if capture.is_socket else "orderly")


GARBAGE = {"sse": b"data: {this is not JSON\n\n", "ndjson": b"{this is not JSON\n", "frames": b"{this is not JSON"}


@each_capture
async def test_garbage_in_the_middle_is_no_reply(scene: Scene) -> None:
    error, _reply = await scene.fail(in_the_middle(scene.capture, GARBAGE[scene.capture.stream.framing]))
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@each_capture
async def test_a_line_over_every_limit_fails_cleanly(scene: Scene) -> None:
    framing = scene.capture.stream.framing
    padding = b'{"padding": "%b"}' % (b"x" * OVER_EVERY_LIMIT[framing])
    line = {"sse": b"data: " + padding + b"\n\n", "ndjson": padding + b"\n", "frames": padding}[framing]
    error, _reply = await scene.fail(in_the_middle(scene.capture, line))
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


@each_capture
async def test_the_upstreams_own_error_in_the_middle_has_its_code(scene: Scene) -> None:
    stream = scene.capture.stream
    assert stream.try_later, "the fixture has no error in mid-reply"
    trouble = framed(stream.framing, stream.try_later)
    error, _reply = await scene.fail(in_the_middle(scene.capture, *trouble))
    assert error.error_code is stream.try_later_code
    half = scene.capture.frames[: scene.capture.required // 2]
    error, _reply = await scene.fail(Play([*half, *trouble]))
    assert error.error_code is stream.try_later_code


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["silence", "stall"])
@each_capture
async def test_a_silent_upstream_is_closed_by_who_cancels(scene: Scene, share: float) -> None:
    frames = scene.capture.frames[: round(scene.capture.required * share)]
    reading = asyncio.create_task(scene.ask(Play(frames, "hold"), reply=(reply := Reply())))
    await asyncio.wait_for(scene.upstream.written.wait(), 10)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading], timeout=10)
    assert reading.cancelled()
    await until(lambda: scene.upstream.open == 0)
    scene.check_beginning(reply)


# In place of a reply


def words_of(body: str, error: UpstreamError) -> list[str]:
    """The upstream's own words that the error repeats: whatever in its body is a text of several words."""
    message = "" if error.message in WORDS.values() else error.message
    shown = f"{message} {dict(error.details)}"
    return [prose for prose in PROSE.findall(body) if prose.strip() in shown]


@each(lambda capture: list(capture.refusals))
async def test_a_refusal_has_its_code(scene: Scene, case: Any) -> None:
    scene.upstream.refuse(case)
    error, reply = await scene.fail(scene.upstream.play)
    assert (error.error_code, error.attempt_again) == (case.code, case.again)
    assert (error.details.get("cause"), error.retry_after) == (case.cause, case.retry_after)
    assert words_of(case.body, error) == []
    assert reply.events == []
    assert len(scene.upstream.sent) == case.tries


@each(lambda capture: list(capture.objects))
async def test_an_object_in_place_of_a_stream_has_its_code(scene: Scene, case: Any) -> None:
    body, plays = case.body.encode(), [Play([case.body.encode()])]
    if not scene.capture.is_socket:
        plays.append(Play([b"\n\n\r\n \n" + body]))
    if scene.capture.stream.framing == "sse" and body.startswith(b"{"):
        list_of_one, marked = b"[" + body + b"]", b"\xef\xbb\xbf" + body
        plays += [Play([list_of_one]), Play([marked]), Play([marked], reads="bytes"), Play([list_of_one], "hold")]
    for play in plays:
        scene.upstream.sent.clear()
        error, reply = await scene.fail(play)
        assert (error.error_code, error.attempt_again) == (case.code, case.again)
        assert error.details.get("cause") == case.cause
        assert words_of(case.body, error) == []
        assert reply.events == []
        assert len(scene.upstream.sent) == case.tries


@each_capture
async def test_a_redirection_is_a_wrong_address(scene: Scene) -> None:
    moved = {"Location": "https://example.com/"}
    scene.upstream.refuse(Refusal(302, "", ErrorCode.UPSTREAM_PROTOCOL, again=False, headers=moved))
    error, reply = await scene.fail(scene.upstream.play)
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_PROTOCOL, False)
    assert error.details["cause"] is Cause.ADDRESS
    assert reply.events == []


@each_capture
async def test_what_is_said_to_be_encoded_is_not_read(scene: Scene) -> None:
    if scene.capture.is_socket:
        play = Play([message(frame, Opcode.BINARY) for frame in scene.capture.frames], "hold", framed=False)
    else:
        play = scene.complete(headers={"Content-Encoding": "gzip"})
    error, reply = await scene.fail(play)
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert reply.events == []


@each_capture
async def test_an_empty_body_is_a_failure(scene: Scene) -> None:
    plays = [Play()]
    if not scene.capture.is_socket:
        plays += [Play(chunked=False), Play([b"\n\n"])]
    if scene.capture.stream.framing == "sse":
        plays += [Play([b": keep-alive\n\n"]), Play([b"event: ping\n\n"])]
    for play in plays:
        error, reply = await scene.fail(play)
        assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
        assert reply.events == []


@each_capture
async def test_a_web_page_is_no_reply(scene: Scene) -> None:
    page = [HTML.encode()]
    play = Play(page, "hold") if scene.capture.is_socket else Play(page, content_type="text/html")
    error, reply = await scene.fail(play)
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert reply.events == []


# The way there


def nobody() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def failure_at(capture: Capture, url: str) -> UpstreamError:
    registry = capture.registry(url)
    try:
        with pytest.raises(UpstreamError) as failure:
            await read(main_of(registry), capture.question())
    finally:
        await registry.aclose()
    check_secrecy(failure.value)
    return failure.value


@each_capture
async def test_nobody_listening_is_unavailable_and_worth_another_attempt(scene: Scene) -> None:
    scheme = scene.upstream.url.partition(":")[0]
    error = await failure_at(scene.capture, f"{scheme}://127.0.0.1:{nobody()}{scene.capture.base_path}")
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_UNAVAILABLE, True)
    assert (error.details["cause"], error.details["connection"]) == (Cause.ADDRESS, "refused")


@each_capture
async def test_tls_to_a_server_without_it_is_unavailable(scene: Scene) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    scheme = scene.upstream.url.partition(":")[0]
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_at(scene.capture, f"{scheme}s://127.0.0.1:{port}{scene.capture.base_path}")
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert (error.details["cause"], error.details["connection"]) == (Cause.ADDRESS, "no_tls")
