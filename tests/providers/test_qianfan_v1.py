"""Qianfan's first interface: its access token, its order of messages, and what it says about content."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Usage
from chat.providers import qianfan_token
from chat.providers.base import ChatRequest, Params, Provider, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.qianfan_models import most_output, path_of
from chat.providers.usual import usual_declarations
from tests.providers.captured import Scene, scene_of
from tests.providers.conftest import Reply, question, read, until
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.capture import CAPTURES
from tests.upstreams.played import Play
from tests.upstreams.qianfan_v1 import KEY, RIG, SECRET, QianfanV1Simulator
from tests.upstreams.rig import main_of

HI = (Turn("user", "Hi"),)


@pytest.fixture
async def simulator() -> AsyncIterator[QianfanV1Simulator]:
    simulator = QianfanV1Simulator()
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def provider(simulator: QianfanV1Simulator) -> AsyncIterator[Provider]:
    registry = RIG.registry(simulator.url)
    yield main_of(registry)
    await registry.aclose()


@pytest.fixture
async def played(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    async with scene_of(CAPTURES["qianfan_v1"], caplog) as scene:
        yield scene


# The token


async def test_one_token_serves_many_requests(simulator: QianfanV1Simulator, provider: Provider) -> None:
    for _turn in range(3):
        await read(provider, question("tokens-1-0"))
    assert simulator.fetches == 1


async def test_requests_at_the_same_time_share_one_fetch(simulator: QianfanV1Simulator, provider: Provider) -> None:
    simulator.fetch_seconds = 0.1
    replies = await asyncio.gather(*(read(provider, question("echo", letter * 9)) for letter in "ABCDEF"))
    assert [reply.text for reply in replies] == [letter * 9 for letter in "ABCDEF"]
    assert simulator.fetches == 1


async def test_they_share_its_failure_and_the_next_request_tries_anew(
    simulator: QianfanV1Simulator, provider: Provider
) -> None:
    simulator.fetch_seconds, simulator.fetch_status = 0.1, 503
    asked = [read(provider, question("demo")) for _turn in range(5)]
    failures = await asyncio.gather(*asked, return_exceptions=True)
    assert [(f.error_code, f.attempt_again) for f in failures if isinstance(f, UpstreamError)] == [
        (ErrorCode.UPSTREAM_UNAVAILABLE, True)
    ] * 5
    assert simulator.fetches == 1
    simulator.fetch_status = 200
    assert (await read(provider, question("tokens-1-0"))).text == "t000001 "


async def test_who_leaves_during_the_fetch_takes_nothing_from_the_others(
    simulator: QianfanV1Simulator, provider: Provider
) -> None:
    simulator.fetch_seconds = 0.1
    first = asyncio.create_task(read(provider, question("tokens-1-0")))
    await until(lambda: simulator.fetches == 1)
    second = asyncio.create_task(read(provider, question("tokens-2-0")))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text == "t000001 t000002 "
    assert first.cancelled()
    assert simulator.fetches == 2


async def test_a_token_that_lives_too_shortly_is_used_once(simulator: QianfanV1Simulator, provider: Provider) -> None:
    simulator.lives = 60
    for _turn in range(2):
        await read(provider, question("tokens-1-0"))
    assert simulator.fetches == 2


@pytest.mark.parametrize("code", [110, 111])
async def test_a_token_that_is_refused_is_followed_by_a_new_one(
    simulator: QianfanV1Simulator, provider: Provider, code: int
) -> None:
    await read(provider, question("tokens-1-0"))
    simulator.tokens.clear()
    simulator.refusal = code
    replies = await asyncio.gather(*(read(provider, question("tokens-3-0")) for _turn in range(4)))
    assert {reply.text for reply in replies} == {"t000001 t000002 t000003 "}
    assert simulator.fetches == 2


async def test_a_new_token_is_tried_once_only(simulator: QianfanV1Simulator, provider: Provider) -> None:
    with pytest.raises(UpstreamError) as failure:
        await read(provider, question("fault-401"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_AUTH
    assert failure.value.details["cause"] is Cause.KEY
    assert not failure.value.attempt_again
    assert (simulator.requests["fault-401"], simulator.fetches) == (2, 2)


async def test_a_token_that_is_refused_in_mid_reply_is_a_failure_and_nothing_is_said_twice(played: Scene) -> None:
    trouble = b'data: {"error_code":110,"error_msg":"Access token invalid or no longer valid"}\n\n'
    error, reply = await played.fail(Play([*played.capture.frames[:2], trouble]))
    assert error.error_code is ErrorCode.UPSTREAM_AUTH
    assert reply.text == "二,两个。"
    assert len(played.upstream.sent) == 1


async def test_a_token_that_never_comes_is_not_waited_for_without_end(
    simulator: QianfanV1Simulator, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qianfan_token, "FETCH_SECONDS", 0.05)
    simulator.fetch_seconds = 60.0
    with pytest.raises(UpstreamError) as failure:
        await read(provider, question("demo"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_TIMEOUT
    await until(lambda: simulator.open_connections == 0)


TOKENLESS = [
    (b"{}", ErrorCode.UPSTREAM_PROTOCOL, False),
    (b"<html>", ErrorCode.UPSTREAM_PROTOCOL, False),
    (b'{"access_token":"","expires_in":2592000}', ErrorCode.UPSTREAM_PROTOCOL, False),
    (b'{"error":"invalid_client","error_description":"unknown client id"}', ErrorCode.UPSTREAM_AUTH, False),
    (b'{"error_code":18,"error_msg":"Open api qps request limit reached"}', ErrorCode.UPSTREAM_RATE_LIMITED, True),
]


@pytest.mark.parametrize(("body", "code", "again"), TOKENLESS)
async def test_an_answer_without_a_token_has_its_code(body: bytes, code: ErrorCode, again: bool) -> None:
    async with RawUpstream(STREAM_HEAD + body) as upstream:
        registry = RIG.registry(upstream.url)
        with pytest.raises(UpstreamError) as failure:
            await read(main_of(registry), question("demo"))
        await registry.aclose()
    assert (failure.value.error_code, failure.value.attempt_again) == (code, again)
    assert len(upstream.requests) == 1


async def test_neither_the_token_nor_a_key_is_shown_anywhere(
    simulator: QianfanV1Simulator, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    shown = []
    with caplog.at_level(logging.DEBUG):
        for model in ("tokens-1-0", "fault-401", "fault-cut", "fault-garbage", "fault-refuse"):
            try:
                await read(provider, question(model))
            except UpstreamError as error:
                shown.append(f"{error!r} {error.details} {error.__cause__!r}")
    assert len(shown) == 4
    for secret in (KEY, SECRET, "token-number", "access_token"):
        assert secret not in caplog.text
        assert secret not in " ".join(shown)


# What is asked


ORDERS: list[tuple[list[tuple[str, str]], str | None, list[tuple[str, str]]]] = [
    ([("user", "Q")], None, [("user", "Q")]),
    ([("system", "S"), ("system", "T"), ("user", "Q")], "S\n\nT", [("user", "Q")]),
    ([("user", "Q"), ("user", "R")], None, [("user", "Q\n\nR")]),
    ([("assistant", "A"), ("user", "Q")], None, [("user", "Q")]),
    ([("user", "Q"), ("assistant", "A")], None, [("user", "Q"), ("assistant", "A"), ("user", CONTINUE)]),
]


@pytest.mark.parametrize(("turns", "system", "messages"), ORDERS)
async def test_messages_alternate_and_the_user_has_the_last_word(
    simulator: QianfanV1Simulator, provider: Provider,
    turns: list[tuple[Any, str]], system: str | None, messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    await read(provider, ChatRequest("tokens-1-0", tuple(Turn(role, text) for role, text in turns)))
    sent = simulator.connections[-1].request
    assert sent.get("system") == system
    assert [(message["role"], message["content"]) for message in sent["messages"]] == messages


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        (Params(), {}),
        (Params(0.0, 0.0, 1), {"temperature": 0.01, "top_p": 0.0, "max_output_tokens": 2}),
        (Params(1.9, 1.0, 100_000), {"temperature": 1.0, "top_p": 1.0, "max_output_tokens": 2048}),
    ],
)
async def test_parameters_are_what_the_model_accepts(
    simulator: QianfanV1Simulator, provider: Provider, params: Params, sent: dict[str, float]
) -> None:
    names = ("temperature", "top_p", "max_output_tokens")
    reading = asyncio.create_task(read(provider, ChatRequest("ERNIE-4.0-Turbo-8K", HI, params)))
    await until(lambda: simulator.requests["ernie-4.0-turbo-8k"] == 1)
    reading.cancel()
    await asyncio.wait([reading])
    body = simulator.connections[-1].request
    assert {name: body[name] for name in names if name in body} == sent


@pytest.mark.parametrize(
    ("model", "path", "most"),
    [
        ("ERNIE-4.0-8K", "completions_pro", 2048),
        ("ERNIE-3.5-8K", "completions", 2048),
        ("ERNIE-4.0-Turbo-8K", "ernie-4.0-turbo-8k", 2048),
        ("ernie-speed-128k", "ernie-speed-128k", 4096),
        ("My_Service_7b", "My_Service_7b", None),
        ("qianfan-dynamic-8k", "qianfan-dynamic-8k", None),
    ],
)
def test_a_model_has_its_path_and_its_longest_answer(model: str, path: str, most: int | None) -> None:
    assert (path_of(model), most_output(model)) == (path, most)


async def test_a_model_s_name_is_one_part_of_the_address(simulator: QianfanV1Simulator, provider: Provider) -> None:
    reply = await read(provider, ChatRequest("a/b?c=d#e 界", HI, Params(max_tokens=2)))
    assert reply.finishes == [Finish(FinishReason.LENGTH)]
    assert simulator.requests["a/b?c=d#e 界"] == 1


# How it ends


def block(text: str, **fields: Any) -> bytes:
    value = {"id": "as-1", "result": text, "is_end": False, "is_truncated": False, **fields}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


async def test_an_answer_that_was_cut_short_is_a_length(played: Scene) -> None:
    reply = await played.ask(Play([block("Hi"), block("", is_truncated=True), block("", is_end=True)]))
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.LENGTH)])


async def test_the_tokens_that_were_asked_for_are_a_length(provider: Provider) -> None:
    reply = await read(provider, ChatRequest("tokens-9-0", HI, Params(max_tokens=3)))
    assert (reply.text, reply.finishes) == ("t000001 t000002 t000003 ", [Finish(FinishReason.LENGTH)])
    assert reply.usage == Usage(1, 3)


MARKS: list[dict[str, Any]] = [
    {"need_clear_history": True, "ban_round": -1, "flag": 1}, {"flag": 2}, {"finish_reason": "content_filter"}
]  # fmt: skip


@pytest.mark.parametrize("marks", MARKS)
async def test_content_that_is_refused_at_once_is_filtered_and_the_set_phrase_is_not_passed_on(
    played: Scene, marks: dict[str, Any]
) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await played.ask(Play([block("我们换个话题聊聊吧。", is_end=True, **marks)]), reply=reply)
    assert (failure.value.error_code, failure.value.attempt_again) == (ErrorCode.CONTENT_FILTERED, False)
    assert reply.events == []


@pytest.mark.parametrize("marks", MARKS)
async def test_content_that_is_refused_in_mid_reply_keeps_what_was_said(played: Scene, marks: dict[str, Any]) -> None:
    reply = await played.ask(Play([block("Hi"), block("", **marks), block("", is_end=True)]))
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.CONTENT_FILTER)])


async def test_what_follows_the_end_is_not_read(played: Scene) -> None:
    reply = await played.ask(Play([block("Hi"), block("", is_end=True) + block(" again", is_end=True)]))
    assert (reply.text, len(reply.finishes)) == ("Hi", 1)


# Without a file


def test_both_of_its_usual_keys_bring_it() -> None:
    assert [declared.kind for declared in usual_declarations({"QIANFAN_AK": "a", "QIANFAN_SK": "s"})] == ["qianfan_v1"]
    assert usual_declarations({"QIANFAN_AK": "a"}) == []
