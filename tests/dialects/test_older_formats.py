"""`/api/chat` and `/api/v1/ai/generate`: the readers that were printed for them, unmodified; and whose `uid` is it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given

from chat.dialects.generate import GenerateEncoder
from chat.dialects.seed_chat import SeedChatEncoder
from chat.simulators.script import FAULT_TEXT
from chat.wire.sse import SSEDecoder
from tests.chat_server import ChatServer
from tests.dialects.simulated_server import simulated_server
from tests.dialects.told_replies import START, ToldReply, told_replies
from tests.node_client import run_script
from tests.server_database import ServerDatabase

MODULE = pytest.mark.asyncio(loop_scope="module")

NUMBER = 10086

MODELS = ("echo", "tokens-3-2", "fault-cut")

SENDS: dict[str, dict[str, Any]] = {
    "seed": {"format": "seed", "text": "你好, a\n\nquestion 🙂", "model": "echo"},
    "seed_again": {"format": "seed", "text": "and then?", "model": "tokens-3-2"},
    "seed_failing": {"format": "seed", "text": "fail", "model": "fault-cut"},
    "generate": {"format": "generate", "text": "你好, a\n\nquestion 🙂", "model": "echo", "fields": {"stream": True}},
    "generate_slow": {"format": "generate", "text": "slowly", "model": "tokens-3-2", "fields": {"stream": False}},
    "generate_failing": {"format": "generate", "text": "fail", "model": "fault-cut"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> AsyncIterator[ChatServer]:
    directory = tmp_path_factory.mktemp("older")
    async with simulated_server(directory, prepared_database, MODELS, CHAT_PING_SECONDS="0.1") as server:
        server.database.execute(f"UPDATE chat_user SET number = {NUMBER} WHERE username = 'owner'")
        await server.start()
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(server: ChatServer) -> dict[str, Any]:
    """What each reader got, by the names of `SENDS`."""
    token = (await server.headers())["Authorization"].split()[1]
    outcomes: dict[str, Any] = await run_script(
        "older_formats.mjs", url=server.url, owner=token, uid=NUMBER, sends=SENDS
    )
    return outcomes


@MODULE
async def test_readers_of_api_chat_get_the_whole_text(told: dict[str, Any]) -> None:
    for name, text in (("seed", SENDS["seed"]["text"]), ("seed_again", "t000001 t000002 t000003 ")):
        got = told[name]
        assert got["text"] == got["native"] == text
        assert got["indexes"] == list(range(len(got["indexes"])))
        assert set(got["uids"]) == {NUMBER}
        assert (got["ended"], got["error"]) == (True, None)
    assert len(told["seed"]["indexes"]) > 1, "it comes in pieces"


@MODULE
async def test_readers_of_ai_generate_get_the_whole_text_streamed_whatever_they_say(told: dict[str, Any]) -> None:
    for name, text in (("generate", SENDS["generate"]["text"]), ("generate_slow", "t000001 t000002 t000003 ")):
        got = told[name]
        assert got["text"] == got["native"] == text
        assert (got["finals"], got["error"], got["other"]) == (1, None, [])
        assert got["type"] == "text/event-stream; charset=utf-8"
    assert told["generate_slow"]["pings"] > 0, "while the readers of the other format were spared them"


@MODULE
async def test_both_are_told_of_a_failure_behind_the_text(told: dict[str, Any]) -> None:
    for name in ("seed_failing", "generate_failing"):
        got = told[name]
        assert got["text"] == got["native"] == "".join(FAULT_TEXT)
        assert got["error"]["code"] == "UPSTREAM_UNAVAILABLE"
        assert got["error"]["error"]
    assert told["seed_failing"]["ended"]
    assert set(told["seed_failing"]["error"]) == {"error", "code", "is_end"}
    assert told["generate_failing"]["finals"] == 0


@MODULE
async def test_api_chat_is_one_conversation_that_remembers_and_each_prompt_is_one(
    server: ChatServer, told: dict[str, Any]
) -> None:
    async with await server.client() as client:
        listed = (await client.get("/conversations")).json()["items"]
        assert sorted(one["message_count"] for one in listed) == [2, 2, 2, 6]
        chat = next(one["id"] for one in listed if one["message_count"] == 6)
        messages = (await client.get(f"/conversations/{chat}/messages")).json()["items"]
        said = [message["text"] for message in messages if message["role"] == "user"]
        assert said == [SENDS[name]["text"] for name in ("seed", "seed_again", "seed_failing")]
        assert [message["parent"] for message in messages[1:]] == [message["id"] for message in messages[:-1]]


async def ask(server: ChatServer, user: str, body: Any) -> httpx.Response:
    async with await server.client(user) as client:
        return await client.post(f"{server.url}/api/chat", json=body)


@MODULE
async def test_a_uid_is_the_accounts_own_id_or_number(server: ChatServer) -> None:
    async with await server.client() as client:
        me = (await client.get("/me")).json()["id"]
    for uid in (me, me.upper(), NUMBER, str(NUMBER)):
        response = await ask(server, "owner", {"uid": uid, "message": "hello", "model": "echo"})
        assert response.status_code == 200
        *said, (_event, end) = blocks(response.content)
        assert "".join(data["message"] for _event, data in said) == "hello"
        assert [data["uid"] for _event, data in said] == [uid] * len(said)
        assert end == {"is_end": True}


@MODULE
async def test_somebody_elses_uid_is_nobodys(server: ChatServer) -> None:
    async with await server.client() as client:
        me = (await client.get("/me")).json()["id"]
        before = (await client.get("/conversations")).text
        told = set()
        for uid in (me, NUMBER, str(NUMBER), 4711, "nobody", -1, 2**63, "9" * 30, "１００８６"):
            response = await ask(server, "stranger", {"uid": uid, "message": "hello"})
            assert response.status_code == 404
            told.add(response.text)
        assert len(told) == 1, "an existing one must look like none"
        assert (await client.get("/conversations")).text == before
    async with httpx.AsyncClient() as nobody:
        response = await nobody.post(f"{server.url}/api/chat", json={"uid": me, "message": "hello"})
        assert response.status_code == 401


@MODULE
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "用户ID不能为空"),
        ({"uid": "", "message": "hello"}, "用户ID不能为空"),
        ({"uid": None, "message": ""}, "用户ID不能为空"),
        ({"uid": NUMBER}, "消息内容不能为空"),
        ({"uid": NUMBER, "message": " \n"}, "消息内容不能为空"),
    ],
)
async def test_what_is_missing_is_named_in_the_words_of_old(server: ChatServer, body: Any, words: str) -> None:
    response = await ask(server, "owner", body)
    assert (response.status_code, response.json()["error"]) == (422, words)


@MODULE
async def test_what_makes_no_sense_is_refused(server: ChatServer) -> None:
    for body in ({"uid": [], "message": "a"}, {"uid": True, "message": "a"}, {"uid": 1.5, "message": "a"},
                 {"uid": NUMBER, "message": 5}):  # fmt: skip
        assert (await ask(server, "owner", body)).status_code == 422
    async with await server.client() as client:
        for body in ({}, {"prompt": ""}, {"prompt": 5}, {"prompt": "a", "model": "none"}):
            response = await client.post("/ai/generate", json=body)
            assert response.status_code in (404, 422)
            assert "text/event-stream" not in response.headers["content-type"]


# However the events come


def blocks(body: bytes) -> list[tuple[str, Any]]:
    return [(event.event, json.loads(event.data)) for event in SSEDecoder().decode(body)]


@given(told_replies(continued=False))
def test_a_text_is_appended_once_however_it_is_told_in_api_chat(reply: ToldReply) -> None:
    encoder = SeedChatEncoder(START, "me")
    body = b"".join(encoder.entry(entry) for entry in reply.entries)
    assert all(line.startswith(b"data: ") for line in body.split(b"\n\n")[:-1])
    *said, (_event, end) = blocks(body)
    assert [data["index"] for _event, data in said] == list(range(len(said)))
    assert "".join(data["message"] for _event, data in said) == reply.text
    expected = {"error": "It broke.", "code": "UPSTREAM_TIMEOUT"} if reply.failed else {}
    assert end == {**expected, "is_end": True}
    assert encoder.ping() == b""


@given(told_replies(continued=False))
def test_a_text_is_appended_once_however_it_is_told_in_ai_generate(reply: ToldReply) -> None:
    encoder = GenerateEncoder(START)
    *said, end = blocks(b"".join(encoder.entry(entry) for entry in reply.entries))
    assert all(event == "message" and not data["isFinal"] and data["delta"] for event, data in said)
    assert "".join(data["delta"] for _event, data in said) == reply.text
    assert end[0] == ("error" if reply.failed else "message")
    assert end[1].get("isFinal", False) is not reply.failed


def test_where_the_stream_ends_before_the_reply_the_reader_is_told() -> None:
    [(_event, data)] = blocks(SeedChatEncoder(START, 1).cut())
    assert (data["code"], data["is_end"]) == ("UNAVAILABLE", True)
    [(event, data)] = blocks(GenerateEncoder(START).cut())
    assert (event, data["code"]) == ("error", "UNAVAILABLE")
