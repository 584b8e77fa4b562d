"""The AI SDK's chat: its own client against a running server, and the stream that it is sent."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given, settings

from chat.dialects.ui_message_encoder import UIMessageEncoder
from chat.events import Entry
from chat.simulators.script import FAULT_TEXT, THOUGHTS
from tests.chat_server import ChatServer, server_events
from tests.dialects.simulated_server import SimulatedServer, simulated_server
from tests.dialects.told_replies import START, ToldReply, told_replies
from tests.node_client import run_script
from tests.server_database import ServerDatabase

MODULE = pytest.mark.asyncio(loop_scope="module")

MODELS = {
    "thinking": "reasons",
    "quick": "tokens-3-0",
    "failing": "fault-cut",
    "endless": "tokens-3000-20",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> AsyncIterator[SimulatedServer]:
    directory = tmp_path_factory.mktemp("ui")
    async with simulated_server(directory, prepared_database, MODELS.values()) as server:
        await server.start()
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(server: ChatServer) -> dict[str, Any]:
    """What the SDK's client was told in each scenario of its script."""
    tokens = {name: (await server.headers(name))["Authorization"].split()[1] for name in ("owner", "stranger")}
    outcomes: dict[str, Any] = await run_script("ui_message.mjs", url=server.url, models=MODELS, **tokens)
    return outcomes


def tokens(count: int) -> str:
    return "".join(f"t{number:06} " for number in range(1, count + 1))


@MODULE
async def test_the_sdk_gets_a_reply_whole_and_finds_it_again(told: dict[str, Any]) -> None:
    whole = told["whole"]
    assert whole["marked"] == "v1"
    assert (whole["status"], whole["finished"]) == ("ready", ["stop"])
    assert whole["text"] == whole["native"] == "".join(FAULT_TEXT)
    assert whole["thinking"] == "".join(THOUGHTS)
    assert whole["states"] == ["step-start", "done", "done"]
    assert whole["metadata"]["conversation"] == whole["conversation"]
    assert whole["metadata"]["status"] == "completed"
    assert whole["metadata"]["usage"]["output_tokens"] > 0
    assert whole["valid"]
    question, answer = whole["stored"]
    assert (question["role"], question["parts"][-1]["text"]) == ("user", "hello")
    assert (answer["id"], answer["parts"][-1]["text"]) == (whole["id"], whole["text"])
    assert answer["metadata"]["generation"] == whole["metadata"]["generation"]


@MODULE
async def test_the_sdk_leaves_in_mid_reply_and_takes_it_up_from_its_start(told: dict[str, Any]) -> None:
    left = told["left"]
    assert left["text"] == left["second"] == left["native"]
    assert left["text"] == tokens(3000)[: len(left["text"])]
    assert (left["status"], left["count"]) == ("ready", 2)
    assert left["theirs"] is None, "a stranger's chat of the same name is another"
    assert left["idle"] is None


@MODULE
async def test_the_sdk_asks_for_another_answer_and_changes_a_question(told: dict[str, Any]) -> None:
    again = told["again"]
    assert len(set(again["ids"])) == 3
    said = {message["id"]: message for message in again["tree"]}
    questions = [message["text"] for message in again["tree"] if message["role"] == "user"]
    assert questions == ["first", "other words", "second"]
    first = next(id for id, message in said.items() if message["text"] == "first")
    assert [message["id"] for message in again["tree"] if message["parent"] == first] == again["ids"]
    changed, second = (next(one for one in again["tree"] if one["text"] == text) for text in questions[1:])
    assert changed["parent"] is None
    assert said[second["parent"]]["parent"] == changed["id"]
    assert (again["status"], again["loaded"]) == ("ready", 4)
    assert [one["parent"] for one in again["after"]].count(second["id"]) == 2, "loaded messages have our ids"


@MODULE
async def test_the_sdk_is_told_of_a_failure_and_tries_again(told: dict[str, Any]) -> None:
    failed = told["failed"]
    assert failed["status"] == "error"
    assert failed["metadata"]["status"] == "failed"
    assert failed["metadata"]["error"]["code"] == "UPSTREAM_UNAVAILABLE"
    assert failed["error"] == failed["metadata"]["error"]["error"]
    assert failed["text"] == "".join(FAULT_TEXT)
    assert (failed["then"], failed["count"]) == ("ready", 2)


@MODULE
async def test_the_sdk_is_refused_with_a_wrong_token(told: dict[str, Any]) -> None:
    refused = told["refused"]
    assert (refused["status"], refused["code"], refused["body"]["code"]) == ("error", 401, "UNAUTHENTICATED")


@MODULE
async def test_a_chat_is_stopped_by_its_name(told: dict[str, Any]) -> None:
    stopped = told["stopped"]
    assert (stopped["stop"], stopped["status"], stopped["finished"]) == (204, "ready", ["other"])
    assert stopped["metadata"]["status"] == stopped["stored"] == "cancelled"
    assert stopped["same"]


# What the SDK's client does not do


def message(text: str, id: str | None = None, role: str = "user") -> dict[str, Any]:
    return {"id": id or uuid.uuid4().hex, "role": role, "parts": [{"type": "text", "text": text}]}


def body(chat: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": chat, "messages": list(messages), "trigger": "submit-message", "model": "tokens-3-0", **fields}


async def conversations(client: httpx.AsyncClient) -> dict[str, str]:
    return {one["id"]: one["title"] for one in (await client.get("/conversations")).json()["items"]}


@MODULE
async def test_two_first_uses_of_a_name_at_once_make_one_conversation(server: ChatServer) -> None:
    async with await server.client() as client:
        posts = (client.post("/ui/chat", json=body("at once", message(f"at once {number}"))) for number in range(6))
        answers = await asyncio.gather(*posts)
        assert [answer.status_code for answer in answers] == [200] * 6
        assert len({answer.headers["X-Conversation-Id"] for answer in answers}) == 1
        assert len({answer.headers["X-Generation-Id"] for answer in answers}) == 6
        assert sum(title.startswith("at once") for title in (await conversations(client)).values()) == 1


@MODULE
async def test_a_message_that_is_sent_twice_is_one_and_a_second_one_of_the_same_text_is_not(server: ChatServer) -> None:
    async with await server.client() as client:
        sent = body("twice", message("yes", "id-1"))
        first, second = await asyncio.gather(*(client.post("/ui/chat", json=sent) for _ in range(2)))
        third = await client.post("/ui/chat", json=sent)
        assert len({answer.headers["X-Generation-Id"] for answer in (first, second, third)}) == 1
        assert first.text == third.text
        other = await client.post("/ui/chat", json=body("twice", message("yes", "id-2")))
        assert other.headers["X-Generation-Id"] != first.headers["X-Generation-Id"]
        assert other.headers["X-Conversation-Id"] == first.headers["X-Conversation-Id"]


@MODULE
async def test_an_answer_that_is_asked_for_again_before_there_is_a_question_is_a_first_one(server: ChatServer) -> None:
    """Whose first attempt was refused, so that the client alone knows the message."""
    async with await server.client() as client:
        asked = body("refused first", message("refused", "id-1"))
        refused = await client.post("/ui/chat", json=asked | {"model": "none-such"})
        assert refused.status_code == 422, refused.text
        assert "refused" not in (await conversations(client)).values(), "and no empty conversation is left"
        retried = await client.post("/ui/chat", json=asked | {"trigger": "regenerate-message"})
        assert retried.status_code == 200
        stored = (await client.get("/ui/chat/refused first")).json()["messages"]
        assert [one["parts"][-1]["text"] for one in stored] == ["refused", tokens(3)]


@MODULE
async def test_a_key_of_ones_own_makes_one_of_two_requests_for_another_answer(server: ChatServer) -> None:
    async with await server.client() as client:
        asked = body("with a key", message("hello", "id-1"))
        await client.post("/ui/chat", json=asked)
        again = asked | {"trigger": "regenerate-message"}
        answers = [
            await client.post("/ui/chat", json=again, headers={"Idempotency-Key": key}) for key in ("k1", "k1", "k2")
        ]
        ids = [answer.headers["X-Generation-Id"] for answer in answers]
        assert ids[0] == ids[1] != ids[2]


@MODULE
async def test_a_chat_that_is_new_here_begins_with_what_its_client_has(server: SimulatedServer) -> None:
    """Of another server's, or one that was deleted here."""
    picture = {"id": "p", "role": "user", "parts": [{"type": "file", "url": "data:,"}, {"type": "text", "text": "Eve"}]}
    thought = {"type": "reasoning", "text": "Hm."}
    before = [message("How do I call you?", role="assistant"), picture, message("Hi Eve", role="assistant")]
    before[-1]["parts"].insert(0, thought)
    noise = [message("Be brief.", role="system"), message(" ", role="assistant"), {"role": "assistant"}]
    noise += [message("\x00"), message("x" * 100_001)]
    asked = body("moved", *before, *noise, message("Who am I?"))
    async with await server.client() as client:
        refused = await client.post("/ui/chat", json=asked | {"model": "none-such"})
        assert refused.status_code == 422
        assert (await client.get("/ui/chat/moved")).status_code == 404, "no conversation without a reply"
        answer = await client.post("/ui/chat", json=asked)
        assert [(turn["role"], turn["content"]) for turn in server.asked()] == [
            ("system", "Be brief."),
            ("user", "Eve"),
            ("assistant", "Hi Eve"),
            ("user", "Who am I?"),
        ], "which begins with the user, as upstreams want it"
        conversation = answer.headers["X-Conversation-Id"]
        kept = (await client.get(f"/conversations/{conversation}/messages")).json()["items"]
        assert [one["text"] for one in kept] == ["How do I call you?", "Eve", "Hi Eve", "Who am I?", tokens(3)]
        assert [one["parent"] for one in kept] == [None, *(one["id"] for one in kept[:-1])]
        shown = (await client.get(f"/conversations/{conversation}")).json()
        assert (shown["title"], shown["message_count"]) == ("Eve", 5)
        stored = (await client.get("/ui/chat/moved")).json()["messages"]
        await client.post("/ui/chat", json=body("moved", *stored, message("And you?")))
        assert [turn["content"] for turn in server.asked()][-2:] == [tokens(3), "And you?"]
        assert (await client.get(f"/conversations/{conversation}")).json()["message_count"] == 7, "told once"


@MODULE
async def test_a_strangers_chat_of_the_same_name_is_another(server: ChatServer) -> None:
    async with await server.client() as owner, await server.client("stranger") as stranger:
        running = body("ours", message("a secret"), model="tokens-3000-20")
        async with owner.stream("POST", "/ui/chat", json=running) as answer:
            for path in ("/ui/chat/ours/stream", "/ui/chat/none such/stream", f"/ui/chat/{'x' * 300}/stream"):
                assert (await stranger.get(path)).status_code == 204
            for name in ("ours", "none such", "%00"):
                assert (await stranger.get(f"/ui/chat/{name}")).status_code == 404
            assert (await stranger.post("/ui/chat/ours/stop")).status_code == 404
            theirs = await stranger.post("/ui/chat", json=body("ours", message("mine")))
            assert theirs.headers["X-Conversation-Id"] != answer.headers["X-Conversation-Id"]
            seen = (await stranger.get("/ui/chat/ours")).json()["messages"]
            assert [one["parts"][-1]["text"] for one in seen] == ["mine", tokens(3)]
            async with owner.stream("GET", "/ui/chat/ours/stream") as live:
                assert live.headers["X-Generation-Id"] == answer.headers["X-Generation-Id"]
                told = server_events(live)
                assert json.loads((await anext(told)).data)["type"] == "start"
        assert (await owner.post("/ui/chat/ours/stop")).status_code == 204


@MODULE
async def test_a_reply_that_is_continued_is_told_with_what_stood_there_before(server: ChatServer) -> None:
    async with await server.client() as client:
        running = body("continued", message("hello"), model="tokens-3000-20")
        async with client.stream("POST", "/ui/chat", json=running) as answer:
            told = server_events(answer)
            start = json.loads((await anext(told)).data)
            while json.loads((await anext(told)).data)["type"] != "text-delta":
                pass
            assert (await client.post("/ui/chat/continued/stop")).status_code == 204
        path, later = f"/messages/{start['messageId']}/continue", {"Prefer": "respond-async"}
        assert (await client.post(path, headers=later)).status_code == 202
        async with client.stream("GET", "/ui/chat/continued/stream") as live:
            meanwhile = (await client.get("/ui/chat/continued")).json()["messages"]
            assert [one["role"] for one in meanwhile] == ["user"], "what the stream tells is not told twice"
            events = server_events(live)
            seen = [json.loads((await anext(events)).data) for _ in range(5)]
            assert (await client.post("/ui/chat/continued/stop")).status_code == 204
            seen += [json.loads(event.data) async for event in events if event.data != "[DONE]"]
        assert seen[0]["messageId"] == start["messageId"]
        stored = (await client.get("/ui/chat/continued")).json()["messages"][-1]
        said = "".join(chunk["delta"] for chunk in seen if chunk["type"] == "text-delta")
        assert said == stored["parts"][-1]["text"]


@MODULE
@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        ({"messages": [message("hello")]}, 422, "id"),
        ({"id": "", "messages": [message("hello")]}, 422, "id"),
        ({"id": "x" * 256, "messages": [message("hello")]}, 413, "id"),
        ({"id": "bad"}, 422, "messages"),
        ({"id": "bad", "messages": ["hello"]}, 422, "messages"),
        ({"id": "bad", "messages": [message("hello"), message("hi", role="assistant")]}, 422, "messages"),
        ({"id": "bad", "messages": [{"role": "user", "content": "hello"}]}, 422, "messages.parts"),
        ({"id": "bad", "messages": [{"role": "user", "parts": [{"type": "text"}]}]}, 422, "messages.parts.text"),
        (
            {"id": "bad", "messages": [{"role": "user", "parts": [{"type": "file", "url": "data:,"}]}]},
            422,
            "messages.parts",
        ),
        ({"id": "bad", "messages": [message(" ")]}, 422, "message"),
        ({"id": "bad", "messages": [message("hello")], "trigger": "other"}, 422, "trigger"),
        ({"id": "bad", "messages": [message("hello")], "params": {"temperature": 9}}, 422, "params.temperature"),
    ],
)
async def test_what_is_no_chat_is_refused(server: ChatServer, sent: dict[str, Any], status: int, field: str) -> None:
    async with await server.client() as client:
        refused = await client.post("/ui/chat", json=sent)
        assert (refused.status_code, refused.json()["details"]["field"]) == (status, field)
        assert (await client.get("/ui/chat/bad")).status_code == 404


# The stream


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """All but its end mark."""
    *blocks, done, rest = stream.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks]


@settings(deadline=None)
@given(told_replies())
def test_however_a_reply_comes_each_character_is_told_once(reply: ToldReply) -> None:
    encoder = UIMessageEncoder(START, *reply.before)
    told = chunks(b"".join(encoder.entry(entry) for entry in reply.entries))
    assert [chunk["type"] for chunk in told][:2] == ["start", "start-step"]
    assert "".join(chunk["delta"] for chunk in told if chunk["type"] == "text-delta") == reply.text
    assert "".join(chunk["delta"] for chunk in told if chunk["type"] == "reasoning-delta") == reply.reasoning
    opened: list[str] = []
    for chunk in told:
        kind, _, what = chunk["type"].partition("-")
        if kind in ("text", "reasoning"):
            if what == "start":
                opened.append(chunk["id"])
            assert opened == [chunk["id"]], "one part at a time"
            if what == "end":
                opened.clear()
    assert not opened
    assert told[-1]["type"] == ("error" if reply.failed else "finish")
    assert sum(chunk["type"] == "data-note" for chunk in told) == reply.notes


def test_a_stream_that_ends_before_its_reply_says_so() -> None:
    encoder = UIMessageEncoder(START)
    told = encoder.entry(Entry(1, "message", b'{"delta":"Hel","isFinal":false}')) + encoder.cut()
    types = [json.loads(block.removeprefix(b"data: "))["type"] for block in told.split(b"\n\n")[:-1]]
    assert types[-3:] == ["text-delta", "text-end", "error"]
