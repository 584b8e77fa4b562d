"""iFlytek Spark: the order of its messages, and the reply's frames."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chat.errors import Cause, ErrorCode
from chat.events import Finish, FinishReason, ProviderEvent, Text
from chat.providers.base import Turn
from chat.providers.continuing import CONTINUE
from chat.providers.spark_messages import turns_for_spark
from tests.providers.conftest import Reply, question, read, spark_for
from tests.providers.spark_upstream import failure_of, frame, says, upstream

# The request

USER, ANSWER, SYSTEM = Turn("user", "Q"), Turn("assistant", "A"), Turn("system", "S")


@pytest.mark.parametrize(
    ("turns", "system", "sent"),
    [
        ((SYSTEM, USER), True, [("system", "S"), ("user", "Q")]),
        ((SYSTEM, USER, ANSWER, USER), False, [("user", "S\n\nQ"), ("assistant", "A"), ("user", "Q")]),
        ((USER, SYSTEM, USER), True, [("system", "S"), ("user", "Q\n\nQ")]),
        ((USER, ANSWER, ANSWER, USER), True, [("user", "Q"), ("assistant", "A\n\nA"), ("user", "Q")]),
        ((ANSWER, USER), True, [("user", "Q")]),
        ((USER, ANSWER), True, [("user", "Q"), ("assistant", "A"), ("user", CONTINUE)]),
    ],
    ids=["system first", "no system role", "a late system", "twice the same role", "a cut history", "to be continued"],
)
def test_turns_come_in_the_order_that_the_vendor_insists_on(
    turns: tuple[Turn, ...], system: bool, sent: list[tuple[str, str]]
) -> None:
    assert [(turn["role"], turn["content"]) for turn in turns_for_spark(turns, system=system)] == sent


# The reply, from a server that says exactly what it is told to


async def test_a_reply_of_one_single_frame_has_its_text() -> None:
    async with upstream(says(frame("short", 2))) as provider:
        assert (await read(provider, question("demo"))).text == "short"


async def test_a_message_in_fragments_is_one_message() -> None:
    whole = frame("您好", 2)

    async def behave(connection: ServerConnection) -> None:
        await connection.send(whole[at : at + 7] for at in range(0, len(whole), 7))
        await connection.wait_closed()

    async with upstream(behave) as provider:
        assert (await read(provider, question("demo"))).text == "您好"


async def test_a_ping_is_answered_in_mid_reply() -> None:
    answered = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(frame("before ", 0))
        await (await connection.ping())
        answered.set()
        await connection.send(frame("after", 2))
        await connection.wait_closed()

    async with upstream(behave) as provider:
        assert (await read(provider, question("demo"))).text == "before after"
    assert answered.is_set()


async def test_frames_that_come_together_with_the_handshake_are_not_lost() -> None:
    """A gateway may say "busy" before it was asked anything."""

    async def at_once(connection: ServerConnection) -> None:
        await connection.send(frame(code=10110))
        await connection.wait_closed()

    async with serve(at_once, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        error = await failure_of(spark_for(f"ws://127.0.0.1:{port}/v3.5/chat"))
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


@pytest.mark.parametrize(
    ("tail", "text"),
    [("\\ud83d", "x\ufffd"), ("\\ude00", "x\ufffd"), ("\\u0000", "x\ufffd")],
    ids=["half a pair at the end", "the other half alone", "NUL"],
)
async def test_what_no_database_takes_becomes_a_replacement(tail: str, text: str) -> None:
    async with upstream(says(frame("x", 0), frame("TAIL", 2).replace("TAIL", tail))) as provider:
        assert (await read(provider, question("demo"))).text == text


TROUBLE = (10000, 10001, 10002, 10008, 10009, 10010, 10011, 10012, 10017, 10018, 10110, 10222, 10223)
CODES = [
    *((code, ErrorCode.CONTENT_FILTERED, False, None) for code in (10013, 10014, 10021, 10022)),
    (10015, ErrorCode.UPSTREAM_AUTH, False, Cause.KEY),
    *((code, ErrorCode.UPSTREAM_AUTH, False, Cause.QUOTA) for code in (10016, 11200)),
    *((code, ErrorCode.UPSTREAM_RATE_LIMITED, True, None) for code in (10006, 10007, 11202, 11203)),
    (11201, ErrorCode.UPSTREAM_RATE_LIMITED, False, Cause.QUOTA),
    *((code, ErrorCode.UPSTREAM_UNAVAILABLE, True, None) for code in TROUBLE),
    *((code, ErrorCode.UPSTREAM_REJECTED, False, None) for code in (10003, 10004)),
    *((code, ErrorCode.UPSTREAM_REJECTED, False, Cause.PARAMETERS) for code in (10005, 10163)),
    *((code, ErrorCode.UPSTREAM_REJECTED, False, Cause.PICTURES) for code in (10029, 10041)),
    (10907, ErrorCode.UPSTREAM_REJECTED, False, Cause.CONTEXT),
]
UNKNOWN_CODES = [
    (10299, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    (11299, ErrorCode.UPSTREAM_AUTH, False, Cause.QUOTA),
    (10099, ErrorCode.UPSTREAM_REJECTED, False, None),
    (1, ErrorCode.UPSTREAM_REJECTED, False, None),
    (-7, ErrorCode.UPSTREAM_REJECTED, False, None),
]


@pytest.mark.parametrize(
    ("code", "expected", "again", "cause"), CODES + UNKNOWN_CODES, ids=[str(case[0]) for case in CODES + UNKNOWN_CODES]
)
async def test_an_error_frame_has_its_code(code: int, expected: ErrorCode, again: bool, cause: Cause | None) -> None:
    async with upstream(says(frame(code=code, status=2))) as provider:
        error = await failure_of(provider)
    assert (error.error_code, error.attempt_again) == (expected, again)
    assert error.details.get("cause") is cause
    assert error.details["upstream_code"] == code


@pytest.mark.parametrize("code", [10014, 10110])
async def test_an_error_after_some_text_keeps_it(code: int) -> None:
    reply = Reply()
    async with upstream(says(frame("before", 0), frame(code=code, status=2))) as provider:
        await failure_of(provider, reply)
    assert (reply.text, reply.finishes) == ("before", [])


@pytest.mark.parametrize(
    "last", [frame(code=10019, status=2), frame(" of it", 2).replace('"code": 0', '"code": 10019')],
    ids=["by itself", "with the last of the text"],
)  # fmt: skip
async def test_a_reply_that_looks_sensitive_afterwards_keeps_its_text_and_says_so(last: str) -> None:
    async with upstream(says(frame("all", 0), last)) as provider:
        reply = await read(provider, question("demo"))
    assert reply.text in ("all", "all of it")
    assert ("of it" in last) is ("of it" in reply.text)
    assert reply.finishes == [Finish(FinishReason.CONTENT_FILTER)]


def test_the_header_may_say_first_where_the_choices_say_last() -> None:
    said: list[ProviderEvent] = []
    reply = spark_for("ws://127.0.0.1:1/v3.5/chat").reply(said.extend)
    assert reply.read([frame("x", 2).replace('"status": 2}', '"status": 0}', 1).encode()])
    reply.end()
    assert said == [Text("x"), Finish(FinishReason.STOP)]


QUIET = {
    "a plugin's findings": {"plugins": {"text": [{"name": "ifly_search", "content": "[]", "role": "tool"}]}},
    "no text": {"choices": {"status": 1, "seq": 1, "text": []}},
    "null": {"choices": {"status": 1, "seq": 1, "text": None}, "usage": None},
    "a function call": {"choices": {"status": 1, "seq": 1, "text": [
        {"content": "", "role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "index": 0}]}},
    "usage of nothing": {"usage": {"text": {"prompt_tokens": None}}},
    "usage that is none": {"usage": 7, "choices": {"status": None}},
    "usage that is none either": {"usage": {"text": ["many"]}},
}  # fmt: skip


@pytest.mark.parametrize("payload", QUIET.values(), ids=QUIET.keys())
async def test_a_frame_that_says_nothing_changes_nothing(payload: dict[str, Any]) -> None:
    header = {"code": 0, "message": "Success", "sid": "s", "status": None}
    quiet = json.dumps({"header": header, "payload": payload})
    async with upstream(says(quiet, frame("Hi", 0), quiet, frame("", 2))) as provider:
        reply = await read(provider, question("demo"))
    assert (reply.text, reply.usage, len(reply.finishes)) == ("Hi", None, 1)


@pytest.mark.parametrize(
    "broken",
    [
        "no JSON",
        "[]",
        "{}",
        '{"header":{"code":"x"}}',
        '{"header":{"code":0},"payload":7}',
        b"\x00\x01",
        frame("good", 2).encode(),
        "[" * 100_000,
    ],
    ids=[
        "words",
        "a list",
        "no header",
        "a code in letters",
        "a payload of a number",
        "binary",
        "binary JSON",
        "a deep nest",
    ],
)
async def test_what_is_not_of_the_protocol_keeps_the_text_before_it(broken: str | bytes) -> None:
    reply = Reply()
    async with upstream(says(frame("before", 0), broken)) as provider:
        error = await failure_of(provider, reply)
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert reply.text == "before"
