"""Baidu's agents: one text for a whole conversation, and where a turn of theirs is at its end."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason
from chat.providers.baidu_agents import SOMEBODY
from chat.providers.base import ChatRequest, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.inline_history import HISTORY_CHARS, question_of
from chat.providers.providers_file import ProvidersFileError
from tests.providers.captured import Scene, scene_of
from tests.providers.conftest import question, read
from tests.upstreams.baidu_agents import RIG, SECRET, BaiduAgentsSimulator
from tests.upstreams.capture import CAPTURES
from tests.upstreams.played import Play
from tests.upstreams.rig import main_of


@pytest.fixture
async def simulator() -> AsyncIterator[BaiduAgentsSimulator]:
    simulator = BaiduAgentsSimulator()
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def played(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    async with scene_of(CAPTURES["baidu_agents"], caplog) as scene:
        yield scene


# One text


SYSTEM, ASK, SAY, AGAIN = (
    Turn("system", "Be brief."), Turn("user", "One?"), Turn("assistant", "Yes."), Turn("user", "Two?")
)  # fmt: skip
EARLIER = "此前的对话 / The conversation so far:\n用户 / User: One?\n助手 / Assistant: Yes."
NOW = "现在的问题 / The question now:\n"

TEXTS = [
    ("a question alone is itself", (ASK,), True, "One?"),
    ("instructions", (SYSTEM, ASK), True, f"Be brief.\n\n{NOW}One?"),
    ("earlier turns", (ASK, SAY, AGAIN), True, f"{EARLIER}\n\n{NOW}Two?"),
    ("all of it", (SYSTEM, ASK, SAY, AGAIN), True, f"Be brief.\n\n{EARLIER}\n\n{NOW}Two?"),
    ("turns without a word", (ASK, Turn("assistant", " "), AGAIN), True,
     f"此前的对话 / The conversation so far:\n用户 / User: One?\n\n{NOW}Two?"),
    ("an unfinished answer", (ASK, SAY), True, f"{EARLIER}\n\n{NOW}{CONTINUE}"),
    ("without history", (SYSTEM, ASK, SAY, AGAIN), False, "Two?"),
    ("an unfinished answer without history", (SYSTEM, AGAIN, SAY, ASK, SAY), False, f"{EARLIER}\n\n{NOW}{CONTINUE}"),
    ("nothing at all", (), True, CONTINUE),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "history", "text"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_conversation_becomes_one_text(turns: tuple[Turn, ...], history: bool, text: str) -> None:
    assert question_of(turns, history=history) == text


def test_the_newest_of_a_long_conversation_goes_along() -> None:
    long = Turn("user", "x" * (HISTORY_CHARS - 5) + "end")
    text = question_of((ASK, SAY, long, SAY, AGAIN), history=True)
    assert "One?" not in text
    assert f"用户 / User: …{'x' * (HISTORY_CHARS - 7)}end\n助手 / Assistant: Yes.\n\n{NOW}Two?" in text
    assert text.count("x") == HISTORY_CHARS - 7


async def test_a_table_may_leave_the_history_out(simulator: BaiduAgentsSimulator) -> None:
    registry = RIG.registry(simulator.url, history="none")
    reply = await read(main_of(registry), ChatRequest("echo", (SYSTEM, ASK, SAY, AGAIN)))
    assert reply.text == "Two?"
    await registry.aclose()
    with pytest.raises(ProvidersFileError, match="history"):
        RIG.registry(simulator.url, history="some")


# Who is asked, and for whom


async def test_the_agent_is_the_model_where_the_table_names_none(simulator: BaiduAgentsSimulator) -> None:
    registry = RIG.registry(simulator.url)
    await read(main_of(registry), question("tokens-1-0"))
    assert simulator.connections[-1].model == "tokens-1-0"
    assert simulator.connections[-1].request["source"] == "tokens-1-0"
    await registry.aclose()


async def test_the_agent_is_the_tables_where_it_names_one(simulator: BaiduAgentsSimulator) -> None:
    registry = RIG.registry(simulator.url, {**RIG.environment, "APP": "tokens-2-0"}, app_id="env:APP")
    assert (await read(main_of(registry), question("a-friendly-name"))).text == "t000001 t000002 "
    await registry.aclose()


@pytest.mark.parametrize(("user", "sent"), [("u1", "u1"), ("", SOMEBODY)])
async def test_there_is_always_somebody_who_asks(simulator: BaiduAgentsSimulator, user: str, sent: str) -> None:
    registry = RIG.registry(simulator.url)
    await read(main_of(registry), ChatRequest("tokens-1-0", (ASK,), user=user))
    assert simulator.connections[-1].request["openId"] == sent
    await registry.aclose()


async def test_the_secret_of_the_address_is_shown_nowhere(
    simulator: BaiduAgentsSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    registry = RIG.registry(simulator.url)
    shown = []
    with caplog.at_level(logging.DEBUG):
        for model in ("tokens-1-0", "fault-401", "fault-cut", "fault-garbage", "fault-refuse"):
            try:
                await read(main_of(registry), question(model))
            except UpstreamError as error:
                shown.append(f"{error!r} {error.details} {error.__cause__!r}")
    await registry.aclose()
    assert len(shown) == 4
    assert SECRET not in caplog.text
    assert SECRET not in " ".join(shown)


# The end of a turn


def frame(*items: dict[str, Any], end_turn: bool = False) -> bytes:
    message = {"content": list(items) or None, "threadId": "t", "msgId": "m", "endTurn": end_turn}
    value = {"status": 0, "message": "succ", "data": {"message": message}}
    return b"event:message\ndata:" + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def text(words: str, *, finished: bool | None = False, kind: str = "markdown") -> dict[str, Any]:
    return {"dataType": kind, "isFinished": finished, "data": {"text": words}}


STOPPED = [Finish(FinishReason.STOP)]


async def test_the_turn_ends_though_a_later_frame_says_it_does_not(played: Scene) -> None:
    wire = [frame(text("Hi")), frame(end_turn=True), frame(), frame(text(" again")), b"data:{\n\n"]
    reply = await played.ask(Play(wire, reads="whole"))
    assert (reply.text, reply.finishes) == ("Hi", STOPPED)


async def test_the_connection_may_end_behind_a_finished_section(played: Scene) -> None:
    reply = await played.ask(Play([frame(text("Hi", finished=True))]))
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.LENGTH)]), "it can be continued"


@pytest.mark.parametrize("finished", [False, None])
async def test_it_may_not_end_inside_a_section_that_followed_a_finished_one(
    played: Scene, finished: bool | None
) -> None:
    played.upstream.play = Play([frame(text("Hi", finished=True)), frame(text(" there", finished=finished))])
    with pytest.raises(UpstreamError) as failure:
        await read(played.provider, played.capture.question())
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL


@pytest.mark.parametrize(
    "item",
    [
        {"progress": {"stepId": "2", "content": "searching"}},
        {"dataType": "uiData", "data": {"image_url": "https://example.com/a.png"}},
        {"dataType": None, "data": None},
    ],
)
async def test_it_may_not_end_behind_what_followed_a_finished_section(played: Scene, item: dict[str, Any]) -> None:
    played.upstream.play = Play([frame(text("Hi", finished=True)), frame(item)])
    with pytest.raises(UpstreamError) as failure:
        await read(played.provider, played.capture.question())
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL
    ended = [frame(text("Hi", finished=True)), frame(item), frame(text(" there", finished=True)), frame()]
    reply = await played.ask(Play(ended))
    assert (reply.text, reply.finishes) == ("Hi there", [Finish(FinishReason.LENGTH)])


async def test_a_finished_section_does_not_end_the_turn(played: Scene) -> None:
    wire = [frame(text("One. ", finished=True)), frame(text("Two.", finished=True)), frame(end_turn=True)]
    assert (await played.ask(Play(wire))).text == "One. Two."


STRANGE: list[Any] = [
    {"dataType": "null", "data": {"text": "no"}}, {"dataType": None, "data": {"text": "no"}},
    {"dataType": "image", "data": {"url": "https://example.com/a.png", "text": "no"}},
    {"dataType": "uiData", "data": {"image_url": "https://example.com/a.png", "description": "no"}},
    {"dataType": "markdown", "data": None}, {"dataType": "markdown", "data": {"text": 7}},
    {"dataType": "markdown", "data": ["no"]}, {"progress": {"stepId": "1", "content": "no"}}, {},
]  # fmt: skip


@pytest.mark.parametrize("item", STRANGE)
async def test_an_item_without_text_says_nothing(played: Scene, item: dict[str, Any]) -> None:
    wire = [frame(text("Hi")), frame(item), frame({"dataType": "text", "data": " there"}), frame(end_turn=True)]
    assert (await played.ask(Play(wire))).text == "Hi there"


@pytest.mark.parametrize(
    "data", [b"7", b"[]", b'"x"', b'{"status":0,"data":{"message":7}}', b'{"status":0,"data":[1]}']
)
async def test_a_frame_of_another_shape_is_no_reply(played: Scene, data: bytes) -> None:
    played.upstream.play = Play([frame(text("Hi")), b"data:" + data + b"\n\n", frame(end_turn=True)])
    with pytest.raises(UpstreamError) as failure:
        await read(played.provider, played.capture.question())
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL
