"""iFlytek Spark: the signature, the request frame, and the reply's frames."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chat.errors import ErrorCode
from chat.events import Finish, FinishReason, Usage
from chat.providers.base import ChatRequest, Params, Turn
from chat.providers.spark import CONTINUE, turns_for_spark
from chat.providers.spark_products import domain_for
from chat.providers.spark_signing import sign, signed_url
from chat.simulators.spark import THOUGHTS, SparkSimulator
from tests.providers.conftest import Reply, question, read, spark_for
from tests.providers.spark_upstream import failure_of, frame, says, upstream

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "TUFERS1VUC1TRUNSRVQtRk9SLVRFU1RT"
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"
MOMENT = 1767323045.0
FRAMES = (Path(__file__).parent.parent / "fixtures/upstream/spark.jsonl").read_text().splitlines()


# The signature

VECTORS = [
    ("spark-api.xf-yun.com", "/v4.0/chat", DATE, "P9/37SSAigZEtdsfrREEWwMEGsRWqJcYhadjP8awa+s="),
    ("spark-api.xf-yun.com", "/chat/pro-128k", DATE, "KfXesbIHLi1cAi+Ye+n+OLaLf/pOX0Mm4jjF3KtISmk="),
    ("spark-api.xf-yun.com", "/v1.1/chat", DATE, "qGBUjwTmve9TcBXRchFEYvG4WTJyqtDys0lgLnPCQHc="),
    ("spark-api.cn-huabei-1.xf-yun.com", "/v2.1/image", DATE, "t4u6cbNvRFxaCQLv0SQwjhPTJBi9ldfe8w7fCrh/XhI="),
    ("127.0.0.1:8765", "/v3.5/chat", DATE, "nNuSxS2tCWdzlNTJrEWATX/nCn6qMMYhdTRlbVeBC6Q="),
    ("127.0.0.1", "/v3.5/chat", DATE, "Sw6o9tK6wHvJIObXC/F+ZAmnugiUAWjervp5wRp4WPg="),
    ("spark-api.xf-yun.com", "/v4.0/chat", DATE[:-3] + "UTC", "r6AV0Ne+BkrRJnRwBoJvQRcveqe7vku9BWcu3ATPAbY="),
]


@pytest.mark.parametrize(("host", "path", "date", "signature"), VECTORS)
def test_the_signature_is_the_vendors(host: str, path: str, date: str, signature: str) -> None:
    assert sign(host, date, path, SECRET) == signature


def test_the_signed_url_is_the_vendors() -> None:
    authorization = (
        "YXBpX2tleT0iMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCBhbGdvcml0aG09ImhtYWMtc2hhMjU2IiwgaGVhZGVycz0iaG9zdCBk"
        "YXRlIHJlcXVlc3QtbGluZSIsIHNpZ25hdHVyZT0iUDkvMzdTU0FpZ1pFdGRzZnJSRUVXd01FR3NSV3FKY1loYWRqUDhhd2Ercz0i"
    )
    url = signed_url("wss://spark-api.xf-yun.com/v4.0/chat", KEY, SECRET, now=MOMENT)
    assert url == (
        f"wss://spark-api.xf-yun.com/v4.0/chat?authorization={authorization}"
        "&date=Fri%2C+02+Jan+2026+03%3A04%3A05+GMT&host=spark-api.xf-yun.com"
    )


def test_an_address_written_as_http_becomes_a_websockets() -> None:
    url = urlsplit(signed_url("https://127.0.0.1:8765/v3.5/chat", KEY, SECRET, now=MOMENT))
    assert (url.scheme, parse_qs(url.query)["host"]) == ("wss", ["127.0.0.1:8765"])


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


@pytest.mark.parametrize(
    ("model", "url", "domain"),
    [
        ("generalv3.5", "wss://spark-api.xf-yun.com/v3.5/chat", "generalv3.5"),
        ("Spark Max", "wss://spark-api.xf-yun.com/v3.5/chat", "generalv3.5"),
        ("general", "wss://spark-api.xf-yun.com/v1.1/chat", "general"),
        ("x1", "wss://spark-api.xf-yun.com/v1/x1", "x1"),
        ("xs3f9a", "wss://maas-api.cn-huabei-1.xf-yun.com/v1.1/chat", "xs3f9a"),
        ("tokens-3-0", "ws://127.0.0.1:1/v3.5/chat", "tokens-3-0"),
    ],
)
def test_the_domain_belongs_to_the_path(model: str, url: str, domain: str) -> None:
    assert domain_for(model, url) == domain


@pytest.mark.parametrize(
    ("path", "params", "sent"),
    [
        ("/v3.5/chat", Params(), {}),
        ("/v3.5/chat", Params(1.7, 1.2, 100_000), {"temperature": 1.0, "top_p": 1.0, "max_tokens": 8192}),
        ("/v3.5/chat", Params(0.0, 0.0, 0), {"temperature": 0.01, "top_p": 0.01, "max_tokens": 1}),
        ("/v1.1/chat", Params(0.5, None, 8192), {"temperature": 0.5, "max_tokens": 4096}),
        ("/v1/x1", Params(1.7, 0.9, 60_000), {"temperature": 1.7, "top_p": 0.9, "max_tokens": 60_000}),
    ],
)
async def test_parameters_stay_within_what_the_product_takes(
    spark_simulator: SparkSimulator, path: str, params: Params, sent: dict[str, float]
) -> None:
    provider = spark_for(spark_simulator.url.replace("/v3.5/chat", path))
    await read(provider, ChatRequest("tokens-1-0", (SYSTEM, USER), params, user="x" * 40))
    request = spark_simulator.connections[-1].request
    assert request["parameter"]["chat"] == {"domain": "tokens-1-0", **sent}
    assert request["header"] == {"app_id": "a1b2c3d4", "uid": "x" * 32}


async def test_reasoning_arrives_apart_from_the_answer(spark_simulator: SparkSimulator) -> None:
    provider = spark_for(spark_simulator.url.replace("/v3.5/chat", "/v1/x1"))
    reply = await read(provider, question("tokens-2-0"))
    assert (reply.reasoning, reply.text) == ("".join(THOUGHTS), "t000001 t000002 ")


# The reply, from a server that says exactly what it is told to


async def test_a_captured_reply_is_read_whole() -> None:
    async with upstream(says(*FRAMES)) as provider:
        reply = await read(provider, question("demo"))
    assert reply.reasoning == "A greeting, answer kindly."
    assert reply.text == "您好 \U0001f600 a\ufffdb!"
    assert reply.usage == Usage(5, 9)
    assert reply.finishes == [Finish(FinishReason.STOP)]


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


CODES = [
    *((code, ErrorCode.CONTENT_FILTERED, False) for code in (10013, 10014, 10021, 10022)),
    *((code, ErrorCode.UPSTREAM_AUTH, False) for code in (10015, 10016, 11200)),
    *((code, ErrorCode.UPSTREAM_RATE_LIMITED, True) for code in (10006, 10007, 11202, 11203)),
    (11201, ErrorCode.UPSTREAM_RATE_LIMITED, False),
    *(
        (code, ErrorCode.UPSTREAM_UNAVAILABLE, True)
        for code in (10008, 10009, 10010, 10011, 10012, 10110, 10222, 10223)
    ),
    *((code, ErrorCode.UPSTREAM_REJECTED, False) for code in (10003, 10004, 10005, 10163, 10907)),
]


@pytest.mark.parametrize(("code", "expected", "again"), CODES, ids=[str(case[0]) for case in CODES])
async def test_an_error_frame_has_its_code(code: int, expected: ErrorCode, again: bool) -> None:
    async with upstream(says(frame(code=code, status=2))) as provider:
        error = await failure_of(provider)
    assert (error.error_code, error.attempt_again) == (expected, again)
    assert error.details["upstream_code"] == code


async def test_a_reply_that_looks_sensitive_afterwards_keeps_its_text() -> None:
    async with upstream(says(frame("all of it", 0), frame(code=10019, status=2))) as provider:
        reply = await read(provider, question("demo"))
    assert (reply.text, len(reply.finishes)) == ("all of it", 1)


@pytest.mark.parametrize(
    "broken",
    ["no JSON", "[]", "{}", '{"header":{"code":"x"}}', '{"header":{"code":0},"payload":7}', b"\x00\x01", "[" * 100_000],
    ids=["words", "a list", "no header", "a code in letters", "a payload of a number", "binary", "a deep nest"],
)
async def test_what_is_not_of_the_protocol_keeps_the_text_before_it(broken: str | bytes) -> None:
    reply = Reply()
    async with upstream(says(frame("before", 0), broken)) as provider:
        error = await failure_of(provider, reply)
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert reply.text == "before"
