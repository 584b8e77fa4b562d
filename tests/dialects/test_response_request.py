"""Whatever a client of the Responses API sends, it is understood or refused."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chat.dialects.openai_errors import refusal
from chat.dialects.response_request import ResponseRequest, ResponseRequestBody, parse
from chat.errors import RequestError

NAMES = [
    *ResponseRequestBody.model_fields,
    "tools",
    "tool_choice",
    "text",
    "include",
    "prompt",
    "reasoning",
    "user",
    "zzz",
    "top_logprobs",
    "moderation",
]
WORDS = ["user", "assistant", "system", "reasoning", "message", "input_text", "output_text", "text", "auto", "hello"]

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
items = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "role", "content", "text"), texts))
parts = st.fixed_dictionaries({}, optional={"type": texts, "role": texts, "content": st.lists(items, max_size=2)})
values = st.one_of(
    scalars, st.lists(st.one_of(scalars, items, parts), max_size=3), st.dictionaries(texts, scalars, max_size=3)
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)
plausible = st.fixed_dictionaries({"model": texts, "input": st.one_of(texts, st.lists(parts, max_size=3))})


def outcome(body: dict[str, Any]) -> ResponseRequest | int:
    try:
        return parse(body)
    except RequestError as error:
        status, told, _headers = refusal(error)
        assert set(told["error"]) == {"message", "type", "param", "code"}
        return status


@given(st.one_of(bodies, st.tuples(bodies, plausible).map(lambda both: both[0] | both[1])))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    read = outcome(body)
    assert read == 400 or (isinstance(read, ResponseRequest) and read.message.strip())


def test_what_stands_in_an_input() -> None:
    input = [
        {"role": "developer", "content": "Use metres."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How "}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "So.", "annotations": []}]},
        {"role": "user", "content": "Why?"},
    ]
    read = parse({"model": "m", "input": input, "instructions": "Be kind."})
    assert read.system == "Be kind.\n\nUse metres."
    assert [(turn.role, turn.text) for turn in read.history] == [("user", "How "), ("assistant", "So.")]
    assert read.message == "Why?"
    behind = parse({"model": "m", "input": [input[1], input[4]], "previous_response_id": "resp_1"})
    assert (behind.message, behind.history) == ("How \n\nWhy?", ())
