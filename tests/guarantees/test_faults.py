"""Every way an upstream can fail ends in the right code, with what had come saved; and the next send works."""

from __future__ import annotations

import json

import pytest

from chat.simulators.script import FAULT_TEXT, Fault
from tests.chat_server import server_events

CODES = {
    Fault.REFUSE: "UPSTREAM_UNAVAILABLE",
    Fault.UNAUTHORIZED: "UPSTREAM_AUTH",
    Fault.RATE_LIMITED: "UPSTREAM_RATE_LIMITED",
    Fault.SERVER_ERROR: "UPSTREAM_UNAVAILABLE",
    Fault.REJECTED: "UPSTREAM_REJECTED",
    Fault.FILTERED: "CONTENT_FILTERED",
    Fault.CUT_EARLY: "UPSTREAM_UNAVAILABLE",
    Fault.SILENCE: "UPSTREAM_TIMEOUT",
    Fault.STALL: "UPSTREAM_TIMEOUT",
    Fault.CUT: "UPSTREAM_UNAVAILABLE",
    Fault.CUT_CHARACTER: "UPSTREAM_UNAVAILABLE",
    Fault.GARBAGE: "UPSTREAM_PROTOCOL",
    Fault.HUGE_LINE: "UPSTREAM_PROTOCOL",
    Fault.NO_END_MARK: "UPSTREAM_PROTOCOL",
    Fault.ERROR_FRAME: "UPSTREAM_UNAVAILABLE",
    Fault.EMPTY: "EMPTY_REPLY",
}
AFTER_TEXT = {
    Fault.STALL,
    Fault.CUT,
    Fault.CUT_CHARACTER,
    Fault.GARBAGE,
    Fault.HUGE_LINE,
    Fault.NO_END_MARK,
    Fault.ERROR_FRAME,
}


def test_every_fault_has_its_code() -> None:
    assert set(CODES) == set(Fault) - {Fault.SLOW}


@pytest.mark.parametrize("upstream", ["sse", "websocket"])
async def test_each_fault_ends_in_its_code_and_the_next_send_works(serve, upstream) -> None:
    server = await serve(*(f"fault-{fault.value}" for fault in Fault), "tokens-20-0")
    async with await server.client() as client:
        for fault, code in CODES.items():
            send = {"message": "hello", "provider": upstream, "model": f"fault-{fault.value}"}
            async with client.stream("POST", "/chat", json=send) as answer:
                events = [event async for event in server_events(answer)]
            last = json.loads(events[-1].data)
            assert (events[-1].event, last["code"]) == ("error", code), fault
            generation = (await client.get(f"/generations/{answer.headers['x-generation-id']}")).json()
            assert generation["status"] == "failed", fault
            assert generation["seq"] == int(events[-1].id), fault
            assert generation["error"]["code"] == code, fault
            text = "".join(json.loads(event.data)["delta"] for event in events if event.event == "message")
            assert generation["text"] == text == ("".join(FAULT_TEXT) if fault in AFTER_TEXT else ""), fault
            send = {"message": "and now?", "conversation": generation["conversation"], "model": "tokens-20-0"}
            good = await client.post("/chat", json=send, headers={"Accept": "application/json"})
            assert good.status_code == 200, fault
            assert good.json()["generation"]["status"] == "completed", fault
        slow = {"message": "hello", "provider": upstream, "model": "fault-slow"}
        patient = await client.post("/chat", json=slow, headers={"Accept": "application/json"})
        assert patient.json()["generation"]["text"] == "".join(FAULT_TEXT)


async def test_a_failed_reply_as_json_carries_status_code_and_partial_text(serve) -> None:
    server = await serve("fault-cut", "fault-stall", "fault-empty")
    async with await server.client() as client:
        for model, status in (("fault-cut", 502), ("fault-stall", 504), ("fault-empty", 500)):
            answer = await client.post(
                "/chat", json={"message": "hello", "model": model}, headers={"Accept": "application/json"}
            )
            assert answer.status_code == status
            body = answer.json()
            assert body["text"] == ("" if model == "fault-empty" else "".join(FAULT_TEXT))
            assert body["generation"] == answer.headers["x-generation-id"]
