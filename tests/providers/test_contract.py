"""What every adapter owes the engine, tried over real sockets against its protocol's simulator."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Text, Usage
from chat.simulators.script import FAULT_TEXT, THOUGHTS
from tests.providers.conftest import Reply, Rig, question, read, until
from tests.providers.streaming import asked
from tests.upstreams.rig import main_of

WORDS = "".join(FAULT_TEXT)


async def test_the_text_arrives_whole_and_in_order(rig: Rig) -> None:
    reply = await read(rig.provider, question("tokens-300-0"))
    assert reply.text == "".join(f"t{number:06d} " for number in range(1, 301))
    assert [finish.reason for finish in reply.finishes] == [FinishReason.STOP]


async def test_nothing_but_usage_follows_the_finish_and_no_delta_is_empty(rig: Rig) -> None:
    reply = await read(rig.provider, question("tokens-5-0"))
    end = next(index for index, event in enumerate(reply.events) if isinstance(event, Finish))
    assert all(isinstance(event, Usage) for event in reply.events[end + 1 :])
    assert all(event.delta for event in reply.events if isinstance(event, Text))


async def test_the_upstreams_usage_is_reported(rig: Rig) -> None:
    usage = (await read(rig.provider, question("tokens-7-0"))).usage
    if not rig.upstream.counts:
        assert usage is None
        return
    assert usage is not None
    assert usage.output_tokens == 7
    assert usage.input_tokens > 0
    assert not usage.estimated


async def test_thinking_stands_apart_where_the_protocol_has_it(rig: Rig) -> None:
    reply = await read(rig.provider, question("reasons"))
    assert reply.text == WORDS
    assert reply.reasoning == ("".join(THOUGHTS) if rig.upstream.reasons else "")


@pytest.mark.parametrize(
    "text", ["你好,世界 — 𠮷野家 👩‍👩‍👧", "a line\u2028of Unicode\u0085and\r\n\tmore", '"\\u0041" {}']
)
async def test_every_character_survives_the_way_there_and_back(rig: Rig, text: str) -> None:
    assert (await read(rig.provider, question("echo", text))).text == text


async def test_a_large_reply_arrives_byte_for_byte(rig: Rig) -> None:
    reply = await read(rig.provider, question("bytes-500000"))
    assert len(reply.text) == 500_000
    assert reply.text[:1023] == ("0123456789abcdef" * 64)[:1023]


BEFORE_TEXT = [
    ("refuse", ErrorCode.UPSTREAM_UNAVAILABLE, True),
    ("401", ErrorCode.UPSTREAM_AUTH, False),
    ("429", ErrorCode.UPSTREAM_RATE_LIMITED, True),
    ("500", ErrorCode.UPSTREAM_UNAVAILABLE, True),
    ("400", ErrorCode.UPSTREAM_REJECTED, False),
    ("filtered", ErrorCode.CONTENT_FILTERED, False),
]


@pytest.mark.parametrize(("fault", "code", "again"), BEFORE_TEXT, ids=[case[0] for case in BEFORE_TEXT])
async def test_a_failure_before_the_text_has_its_code(rig: Rig, fault: str, code: ErrorCode, again: bool) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await read(rig.provider, question(f"fault-{fault}"), reply)
    assert failure.value.error_code is code
    assert failure.value.attempt_again is again
    assert reply.text == ""


async def test_a_connection_that_dies_before_the_text_is_unavailable(rig: Rig) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await read(rig.provider, question("fault-cut-early"), reply)
    assert failure.value.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert (reply.text, reply.finishes) == ("", [])


AFTER_TEXT = [
    ("cut", ErrorCode.UPSTREAM_UNAVAILABLE),
    ("cut-character", ErrorCode.UPSTREAM_UNAVAILABLE),
    ("garbage", ErrorCode.UPSTREAM_PROTOCOL),
    ("huge-line", ErrorCode.UPSTREAM_PROTOCOL),
    ("no-end-mark", ErrorCode.UPSTREAM_PROTOCOL),
    ("error-frame", ErrorCode.UPSTREAM_UNAVAILABLE),
]


@pytest.mark.parametrize(("fault", "code"), AFTER_TEXT, ids=[case[0] for case in AFTER_TEXT])
async def test_a_failure_in_mid_reply_keeps_the_text_and_has_its_code(rig: Rig, fault: str, code: ErrorCode) -> None:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await read(rig.provider, question(f"fault-{fault}"), reply)
    assert failure.value.error_code is code
    assert reply.text == WORDS
    assert reply.finishes == []


async def test_a_slow_reply_is_no_failure(rig: Rig) -> None:
    assert (await read(rig.provider, question("fault-slow"))).text == WORDS


async def test_an_empty_reply_ends_properly_and_without_text(rig: Rig) -> None:
    reply = await read(rig.provider, question("fault-empty"))
    assert (reply.text, len(reply.finishes)) == ("", 1)


@pytest.mark.parametrize(("model", "before"), [("fault-silence", 0), ("fault-stall", len(FAULT_TEXT))])
async def test_a_silent_upstream_is_left_to_the_caller_and_closed_by_it(rig: Rig, model: str, before: int) -> None:
    reply = Reply()
    reading = asyncio.create_task(read(rig.provider, question(model), reply))
    await until(lambda: rig.simulator.requests[model] == 1 and len(reply.events) >= before)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    await until(lambda: rig.simulator.open_connections == 0, 2.0)


async def test_wrong_credentials_are_refused_and_never_shown(rig: Rig) -> None:
    registry = rig.upstream.registry(rig.simulator.url, {**rig.upstream.environment, **rig.upstream.wrong})
    try:
        with pytest.raises(UpstreamError) as failure:
            await read(main_of(registry), question("demo"))
    finally:
        await registry.aclose()
    assert failure.value.error_code is ErrorCode.UPSTREAM_AUTH
    assert failure.value.details.get("cause") == "key"
    shown = f"{failure.value!r} {failure.value} {failure.value.details}"
    assert not any(secret in shown for secret in rig.upstream.wrong.values())


async def test_nobody_listening_is_unavailable_and_worth_another_attempt(rig: Rig) -> None:
    await rig.simulator.aclose()
    with pytest.raises(UpstreamError) as failure:
        await read(rig.provider, question("demo"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert failure.value.attempt_again


async def test_closing_the_stream_closes_the_upstream_connection(rig: Rig) -> None:
    async with aclosing(asked(rig.provider, question("tokens-100000-50"))) as events:
        async for event in events:
            if isinstance(event, Text):
                break
        assert rig.simulator.open_connections == 1
    await until(lambda: rig.simulator.open_connections == 0, 2.0)
    assert rig.simulator.connections[-1].tokens_sent < 1000


async def test_a_finished_stream_leaves_no_connection(rig: Rig) -> None:
    await read(rig.provider, question("tokens-3-0"))
    await until(lambda: rig.simulator.open_connections == 0, 2.0)


async def test_requests_at_the_same_time_do_not_mix(rig: Rig) -> None:
    texts = [letter * 200 for letter in "ABCDEFGH"]
    replies = await asyncio.gather(*(read(rig.provider, question("echo", text)) for text in texts))
    assert [reply.text for reply in replies] == texts
