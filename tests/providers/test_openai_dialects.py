"""Differences between OpenAI-like upstreams that are none to us."""

from __future__ import annotations

import pytest
from httpx import AsyncBaseTransport

from chat.events import Finish, FinishReason, Reasoning, Text, Usage
from tests.providers.openai_upstream import DONE, STOPPED, answer, block, delta, play
from tests.providers.raw_upstream import STREAM_HEAD

SAME_REPLY = {
    "no blank after the colon": ['data:{"choices":[{"delta":{"content":"Hi"},"index":0}]}\n\n', "data:[DONE]\n\n"],
    "blocks without data": ["event: ping\n\n", "event:ping\n\n", block(delta("Hi")), DONE],
    "comments": [": keep-alive\n\n", ":c\n", block(delta("H")), ":\n\n:HTTP_STATUS/200\n", block(delta("i")), DONE],
    "blank lines around": ["\n\n\r\n \n", block(delta("Hi")), DONE, "\n\n\n"],
    "ids and events and retry": ["id:1\nevent:result\nretry: 3\n" + block(delta("Hi")), "id: 2\n" + DONE],
    "empty data": ["data:\n\n", "data\n\n", "data:  \n\n", block(delta("Hi")), DONE],
    "a byte order mark": ["\ufeff" + block(delta("Hi")), DONE],
    "no done mark": [block(delta("Hi")), block(STOPPED)],
    "no finish reason": [block(delta("Hi")), DONE],
    "no finish reason, but the string null": [block(delta("Hi", finish_reason="null")), DONE],
    "an empty finish reason": [block(delta("Hi", finish_reason="")), DONE],
    "no empty line at the end": [block(delta("Hi")), block(STOPPED).rstrip("\n")],
    "half a block after the finish reason": [block(delta("Hi")), block(STOPPED), block(STOPPED)[:-9]],
    "no empty line after the done mark": [block(delta("Hi")), "data: [DONE]"],
    "the last text in the finish chunk": [block(delta("H")), block(delta("i", finish_reason="stop")), DONE],
    "normal on every chunk": [block(delta(text, finish_reason="normal")) for text in "Hi"] + [DONE],
    "what a search found": [
        block({"choices": [{"delta": {"role": "tool", "content": "[{}]"}}]}), block(delta("Hi")), DONE
    ],
    "normal": [block(delta("Hi", finish_reason="normal")), DONE],
    "eos": [block(delta("Hi", finish_reason="eos"))],
    "a finish reason of the future": [block(delta("Hi", finish_reason="satisfied")), DONE],
    "the role on every delta": [
        block({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}) for text in "Hi"
    ] + [DONE],
    "null where there is nothing": [
        block({"choices": None}), block({"choices": [{"delta": None, "finish_reason": None}]}),
        block({"choices": [{"index": None, "delta": {"content": None, "reasoning_content": None}}], "usage": None}),
        block(delta("Hi")), block({"choices": [], "error": None, "code": 0}), DONE,
    ],
    "codes that say that nothing is wrong": [
        *(block({**delta(""), "code": code}) for code in (0, "0", None, "", 200, "200", "Success", "OK", "null")),
        block({**delta("Hi"), "code": 0, "message": "Success"}), DONE,
    ],
    "unknown fields": [
        block({**delta("Hi", logprobs={"a": [1]}), "obfuscation": "xY", "timings": {"n": 1.5}, "x": [[{}]]}), DONE
    ],
    "tool calls as an object and as an array": [
        block({"choices": [{"delta": {"content": "Hi", "tool_calls": {"type": "function"}}}]}),
        block({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}]}), DONE,
    ],
    "another answer beside the first": [
        block({"choices": [{"index": 1, "delta": {"content": "No"}, "finish_reason": "length"}]}),
        block(delta("Hi")), DONE,
    ],
    "two lines of data": ['data: {"choices":\ndata: [{"delta":{"content":"Hi"}}]}\n\n', DONE],
    "text in escapes": ['data: {"choices":[{"delta":{"content":"\\u0048\\u0069"}}]}\n\n', DONE],
    "a refusal": [block({"choices": [{"delta": {"refusal": "Hi"}}]}), block(STOPPED), DONE],
    "what follows the done mark": [block(delta("Hi")), DONE, block(delta(" again")), "{}"],
}  # fmt: skip


@pytest.mark.parametrize("blocks", SAME_REPLY.values(), ids=SAME_REPLY.keys())
async def test_a_quirk_changes_nothing(client: AsyncBaseTransport, blocks: list[str]) -> None:
    reply = await play(client, answer(*blocks))
    assert reply.text == "Hi"
    assert reply.finishes == [Finish(FinishReason.STOP)]
    assert all(event.delta for event in reply.events if isinstance(event, Text | Reasoning))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_thinking_stands_apart(client: AsyncBaseTransport, field: str) -> None:
    thought = {"choices": [{"index": 0, "delta": {"content": None, field: "Hmm. "}}]}
    reply = await play(client, answer(block(thought), block(thought), block(delta("Yes.")), block(STOPPED), DONE))
    assert (reply.reasoning, reply.text) == ("Hmm. Hmm. ", "Yes.")
    half = 'data: {"choices":[{"delta":{"' + field + '":"Hm\\ud83d"}}]}\n\n'
    reply = await play(client, answer(half, block(delta("Yes.")), DONE))
    assert (reply.reasoning, reply.text) == ("Hm\ufffd", "Yes.")


REPORT = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
EARLIER = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
USAGE = {
    "in a chunk of its own": [block(delta("Hi")), block(STOPPED), block({"choices": [], "usage": REPORT})],
    "in the finish chunk": [block(delta("Hi")), block({**STOPPED, "usage": {**REPORT, "prompt_cache_hit_tokens": 0}})],
    "in every chunk": [block({**delta("Hi"), "usage": EARLIER}), block({**STOPPED, "usage": REPORT})],
    "in the choice": [block(delta("Hi")), block(delta("", finish_reason="stop", usage=REPORT))],
    "twice": [
        block(delta("Hi", finish_reason="stop", usage=EARLIER)), block({"choices": [], "usage": REPORT})
    ],
    "in a chunk with an empty delta": [block(delta("Hi")), block(STOPPED), block({**delta(""), "usage": REPORT})],
}  # fmt: skip


@pytest.mark.parametrize("blocks", USAGE.values(), ids=USAGE.keys())
@pytest.mark.parametrize("done", [DONE, ""], ids=["done", "no-done"])
async def test_the_last_usage_counts_wherever_it_stands(
    client: AsyncBaseTransport, blocks: list[str], done: str
) -> None:
    reply = await play(client, answer(*blocks, done))
    assert [event for event in reply.events if isinstance(event, Usage)] == [Usage(9, 4)]
    assert reply.text == "Hi"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
async def test_a_usage_without_numbers_is_none(client: AsyncBaseTransport, usage: object) -> None:
    assert (await play(client, answer(block(delta("Hi")), block({**STOPPED, "usage": usage}), DONE))).usage is None


FINISHES = [
    ("stop", FinishReason.STOP),
    ("tool_calls", FinishReason.STOP),
    ("length", FinishReason.LENGTH),
    ("model_context_window_exceeded", FinishReason.LENGTH),
    ("content_filter", FinishReason.CONTENT_FILTER),
    ("sensitive", FinishReason.CONTENT_FILTER),
]


@pytest.mark.parametrize(("reason", "finish"), FINISHES, ids=[case[0] for case in FINISHES])
async def test_a_finish_reason_is_translated(client: AsyncBaseTransport, reason: str, finish: FinishReason) -> None:
    reply = await play(client, answer(block(delta("Hi")), block(delta("", finish_reason=reason)), DONE))
    assert reply.finishes == [Finish(finish)]


# Characters that are none


CHARACTERS = [
    ("a pair in one delta", ["\\ud83d\\ude00"], "😀"),
    ("a pair over two deltas", ["a\\ud83d", "\\ude00b"], "a😀b"),
    ("a pair over three blocks", ["\\ud83d", "", "\\ude00"], "😀"),
    ("a lone high one", ["a\\ud83d", "b"], "a\ufffdb"),
    ("a lone low one", ["a\\ude00b"], "a\ufffdb"),
    ("two high ones", ["\\ud83d", "\\ud83d\\ude00"], "\ufffd😀"),
    ("a high one at the end", ["a\\ud83d"], "a\ufffd"),
    ("nul", ["a\\u0000b"], "a\ufffdb"),
    ("control characters", ["a\\u0001\\u007f\\ufffd"], "a\x01\x7f\ufffd"),
]


@pytest.mark.parametrize(("deltas", "text"), [case[1:] for case in CHARACTERS], ids=[case[0] for case in CHARACTERS])
async def test_text_is_made_what_a_database_can_hold(client: AsyncBaseTransport, deltas: list[str], text: str) -> None:
    blocks = ['data: {"choices":[{"index":0,"delta":{"content":"' + piece + '"}}]}\n\n' for piece in deltas]
    reply = await play(client, answer(*blocks, block(STOPPED), DONE))
    assert reply.text == text
    assert reply.text.encode()
    assert all(event.delta.encode() for event in reply.events if isinstance(event, Text))


async def test_bad_utf_8_becomes_the_replacement_character(client: AsyncBaseTransport) -> None:
    raw = b'data: {"choices":[{"delta":{"content":"a\xe4\xb8 b\xff"}}]}\n\n'
    reply = await play(client, STREAM_HEAD + raw + DONE.encode())
    assert reply.text == "a\ufffd b\ufffd"


async def test_a_line_of_megabytes_is_text_too(client: AsyncBaseTransport) -> None:
    reply = await play(client, answer(block(delta("x" * (3 << 20))), DONE))
    assert len(reply.text) == 3 << 20
