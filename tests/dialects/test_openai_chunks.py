"""Chunks of a reader who is told some things twice, or not at all."""

from __future__ import annotations

import json
from typing import Any

from chat.dialects.openai_chunks import ChunkEncoder
from chat.events import Entry, ErrorData, FinalData, MessageData, Note, ReasoningData, SnapshotData, StartData, Usage
from chat.events import encode as encoded

GENERATION = "019e0000-0000-7000-8000-000000000001"
START = StartData(GENERATION, "c", "u", "m", "first", "asked", "sse")


def chunks(encoder: ChunkEncoder, *events: tuple[str, Any]) -> list[dict[str, Any]]:
    """Each block's object; `[DONE]` is empty."""
    written = b"".join(encoder.entry(Entry(seq, name, encoded(data))) for seq, (name, data) in enumerate(events, 1))
    blocks = [block.removeprefix("data: ") for block in written.decode().split("\n\n")[:-1]]
    return [{} if block == "[DONE]" else json.loads(block) for block in blocks]


def told(chunks: list[dict[str, Any]], name: str) -> str:
    return "".join(choice["delta"].get(name) or "" for chunk in chunks for choice in chunk.get("choices", ()))


def final(text: str) -> FinalData:
    return FinalData("cancelled", Usage(3, 4), text, "2026-01-01T00:00:00Z")


def test_a_snapshot_in_the_middle_and_the_whole_text_at_the_end_are_told_once() -> None:
    heard = chunks(
        ChunkEncoder(START, usage=False),
        ("start", START),
        ("reasoning", ReasoningData("Let ")),
        ("message", MessageData("Grüße, ")),
        ("snapshot", SnapshotData("Grüße, 世界! ", "Let me think.", "streaming")),
        ("message", MessageData("And ")),
        ("message", final("Grüße, 世界! And more")),
    )
    assert told(heard, "content") == "Grüße, 世界! And more"
    assert told(heard, "reasoning_content") == "Let me think."
    assert [chunk["choices"][0]["delta"].get("role") for chunk in heard[:-1]].count("assistant") == 1
    assert heard[-2]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert heard[-1] == {}


def test_a_reply_that_is_long_over_begins_with_its_snapshot_and_names_who_answered() -> None:
    note = Note("fallback", {"provider": "second", "model": "answered"})
    heard = chunks(
        ChunkEncoder(START, usage=True),
        ("snapshot", SnapshotData("all of it", "", "completed", notes=[note])),
        ("message", final("all of it")),
    )
    assert told(heard, "content") == "all of it"
    assert {(chunk["model"], chunk["id"]) for chunk in heard[:-1]} == {("answered", f"chatcmpl-{GENERATION}")}
    assert [chunk["usage"] for chunk in heard[:-2]] == [None] * (len(heard) - 2)
    assert heard[-2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert heard[-2]["choices"] == []


def test_a_failure_before_the_first_word_is_an_error_alone_and_so_is_a_stream_that_is_cut() -> None:
    failed = ErrorData("The AI service took too long.", "UPSTREAM_TIMEOUT", {}, True)
    encoder = ChunkEncoder(START, usage=False)
    assert chunks(encoder, ("start", START), ("error", failed)) == [
        {
            "error": {
                "message": "The AI service took too long.",
                "type": "server_error",
                "param": None,
                "code": "upstream_timeout",
            }
        }
    ]
    cut = json.loads(encoder.cut().removeprefix(b"data: "))
    assert set(cut["error"]) == {"message", "type", "param", "code"}
    assert encoder.ping() == b": ping\n\n"
