"""AG-UI: its own client against a running server, and the events that it is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings

from chat.dialects.ag_ui_encoder import AGUIEncoder
from chat.events import Entry
from chat.simulators.script import FAULT_TEXT, THOUGHTS
from tests.chat_server import ChatServer
from tests.dialects.simulated_server import SimulatedServer, simulated_server
from tests.dialects.told_replies import START, ToldReply, told_replies
from tests.node_client import run_script
from tests.server_database import ServerDatabase

MODULE = pytest.mark.asyncio(loop_scope="module")

MODELS = {
    "thinking": "reasons",
    "slow": "tokens-30-60",
    "quick": "tokens-3-0",
    "failing": "fault-cut",
    "endless": "tokens-3000-20",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> AsyncIterator[SimulatedServer]:
    directory = tmp_path_factory.mktemp("ag-ui")
    async with simulated_server(directory, prepared_database, MODELS.values()) as server:
        await server.start()
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(server: ChatServer) -> dict[str, Any]:
    """What the client was told in each scenario of its script."""
    tokens = {name: (await server.headers(name))["Authorization"].split()[1] for name in ("owner", "stranger")}
    outcomes: dict[str, Any] = await run_script("ag_ui.mjs", url=server.url, models=MODELS, **tokens)
    return outcomes


def tokens(count: int) -> str:
    return "".join(f"t{number:06} " for number in range(1, count + 1))


@MODULE
async def test_the_client_gets_a_reply_whole_and_goes_on(server: ChatServer, told: dict[str, Any]) -> None:
    first, second = told["whole"]["first"], told["whole"]["second"]
    assert first["invalid"] == second["invalid"] == []
    thought, answer = first["said"]
    assert (thought["role"], thought["content"]) == ("reasoning", "".join(THOUGHTS))
    assert (answer["role"], answer["content"]) == ("assistant", "".join(FAULT_TEXT))
    assert answer["content"] == first["native"]
    assert first["finished"]["usage"][0]["outputTokens"] > 0
    assert "outcome" not in first["finished"], "a success"
    started = second["started"]["metadata"]
    assert started["conversation"] == first["started"]["metadata"]["conversation"]
    async with await server.client() as client:
        messages = (await client.get(f"/conversations/{started['conversation']}/messages")).json()["items"]
    assert [message["text"] for message in messages] == ["hello", answer["content"], "and then?", tokens(3)]
    assert [message["parent"] for message in messages] == [None, *(message["id"] for message in messages[:3])]


@MODULE
async def test_a_run_that_is_sent_twice_is_one_generation(told: dict[str, Any]) -> None:
    runs = told["twice"].values()
    assert len({run["started"]["metadata"]["generation"] for run in runs}) == 1
    for run in runs:
        assert run["invalid"] == []
        assert run["said"][-1]["content"] == run["native"] == tokens(30)


@MODULE
async def test_a_new_run_of_an_answered_message_is_another_answer(told: dict[str, Any]) -> None:
    first, second = (told["again"][name]["started"]["metadata"] for name in ("first", "second"))
    assert first["user_message"] == second["user_message"]
    assert first["message"] != second["message"]


@MODULE
async def test_the_client_is_told_of_a_failure(told: dict[str, Any]) -> None:
    failed = told["failed"]
    assert failed["invalid"] == []
    assert failed["failed"]["code"] == "UPSTREAM_UNAVAILABLE"
    assert failed["failed"]["message"]
    assert failed["types"][-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
    assert failed["native"] == "".join(FAULT_TEXT)


@MODULE
async def test_the_client_is_refused_with_a_wrong_token(told: dict[str, Any]) -> None:
    error = told["refused"]["error"]
    assert (error["status"], error["payload"]["code"]) == (401, "UNAUTHENTICATED")


@MODULE
async def test_a_run_that_is_stopped_has_been_cancelled(told: dict[str, Any]) -> None:
    stopped = told["stopped"]
    assert stopped["invalid"] == []
    assert stopped["finished"]["outcome"] == {"type": "cancelled"}
    assert stopped["said"][-1]["content"] == stopped["native"]


@MODULE
async def test_a_strangers_thread_of_the_same_name_is_another(told: dict[str, Any]) -> None:
    theirs = told["theirs"]
    assert theirs["conversation"] != told["whole"]["first"]["started"]["metadata"]["conversation"]
    assert theirs["said"][-1]["content"] == tokens(3)


# What the client does not do


def run_of(thread: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    props = {"model": "tokens-3-0"}
    return {"threadId": thread, "runId": uuid.uuid4().hex, "messages": messages, "forwardedProps": props, **fields}


@MODULE
async def test_a_systems_message_is_the_conversations(server: ChatServer) -> None:
    said = {"id": "1", "role": "user", "content": [{"type": "text", "text": "hello"}]}
    rule = {"id": "0", "role": "system", "content": "Be brief."}
    async with await server.client() as client:
        answer = await client.post("/ag-ui", json=run_of("ruled", rule, said))
        conversation = await client.get(f"/conversations/{answer.headers['X-Conversation-Id']}")
        assert (conversation.json()["system"], conversation.json()["title"]) == ("Be brief.", "hello")


@MODULE
async def test_a_thread_that_is_new_here_begins_with_what_its_client_has(server: SimulatedServer) -> None:
    before = [
        {"id": "1", "role": "user", "content": [{"type": "text", "text": "I am Eve"}, {"type": "binary"}]},
        {"id": "2", "role": "reasoning", "content": "Hm."},
        {"id": "3", "role": "assistant", "content": "Hi Eve"},
        {"id": "4", "role": "assistant", "toolCalls": []},
    ]
    async with await server.client() as client:
        for question in ("Who am I?", "Sure?"):
            before.append({"id": question, "role": "user", "content": question})
            answer = await client.post("/ag-ui", json=run_of("moved", *before))
            before.append({"id": "5" + question, "role": "assistant", "content": tokens(3)})
            told = ["I am Eve", "Hi Eve", "Who am I?", tokens(3), "Sure?"]
            assert [turn["content"] for turn in server.asked()] == told[: told.index(question) + 1]
        shown = await client.get(f"/conversations/{answer.headers['X-Conversation-Id']}")
        assert (shown.json()["title"], shown.json()["message_count"]) == ("I am Eve", 6)


@MODULE
async def test_the_same_run_with_another_text_is_a_conflict(server: ChatServer) -> None:
    first, second = (run_of("conflict", {"id": "1", "role": "user", "content": text}, runId="r") for text in "ab")
    async with await server.client() as client:
        assert (await client.post("/ag-ui", json=first)).status_code == 200
        assert (await client.post("/ag-ui", json=second)).status_code == 409


@MODULE
@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"threadId": None}, 422, "threadId"),
        ({"threadId": "x" * 256}, 413, "threadId"),
        ({"runId": ""}, 422, "runId"),
        ({"messages": []}, 422, "messages"),
        ({"messages": [{"id": "1", "role": "tool", "content": "x", "toolCallId": "t"}]}, 422, "messages"),
        ({"messages": [{"id": "1", "role": "user", "content": 7}]}, 422, "messages.content"),
        ({"messages": [{"id": "1", "role": "user", "content": [{"type": "image"}]}]}, 422, "messages.content"),
        ({"forwardedProps": {"params": {"top_p": 2}}}, 422, "params.top_p"),
    ],
)
async def test_what_is_no_run_is_refused(server: ChatServer, change: dict[str, Any], status: int, field: str) -> None:
    async with await server.client() as client:
        refused = await client.post("/ag-ui", json=run_of("bad", {"id": "1", "role": "user", "content": "x"}) | change)
        assert (refused.status_code, refused.json()["details"]["field"]) == (status, field)


# The events


def events(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.removeprefix(b"data: ")) for block in stream.split(b"\n\n")[:-1]]


@settings(deadline=None)
@given(told_replies(continued=False))
def test_however_a_reply_comes_each_character_is_told_once(reply: ToldReply) -> None:
    encoder = AGUIEncoder(START, "thread", "run")
    told = events(b"".join(encoder.entry(entry) for entry in reply.entries))
    assert told[0]["type"] == "RUN_STARTED"
    assert told[-1]["type"] == ("RUN_ERROR" if reply.failed else "RUN_FINISHED")
    for kind, whole in (("TEXT_MESSAGE", reply.text), ("REASONING_MESSAGE", reply.reasoning)):
        assert "".join(event["delta"] for event in told if event["type"] == f"{kind}_CONTENT") == whole
        starts, ends = (
            [event["messageId"] for event in told if event["type"] == f"{kind}_{at}"] for at in ("START", "END")
        )
        assert starts == ends
        assert len(starts) == len(set(starts))
    assert sum(event["type"] == "CUSTOM" for event in told) == reply.notes


def test_steps_that_the_end_leaves_open_are_ended() -> None:
    encoder = AGUIEncoder(START, "thread", "run")
    data = b'{"type":"step_start","index":1,"total":2,"name":"Plan"}'
    error = b'{"error":"It broke.","code":"UPSTREAM_TIMEOUT","details":{},"retryable":true}'
    told = events(encoder.entry(Entry(1, "step_start", data)) + encoder.entry(Entry(2, "error", error)))
    assert [(event["type"], event.get("stepName")) for event in told[1:3]] == [
        ("STEP_STARTED", "Plan"),
        ("STEP_FINISHED", "Plan"),
    ]
