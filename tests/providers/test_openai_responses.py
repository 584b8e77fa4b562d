"""The Responses API beyond the contract: what is asked, and each way in which a response may end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Usage
from chat.providers.base import ChatRequest, Params, Picture, Profile, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.openai_responses import OpenAIResponses
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, Reply, question, read, sent
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.openai_responses import KEY, OpenAIResponsesSimulator

USER = Turn("user", "你好")
MARK = "sk-live-0123456789 of somebody"


@pytest.fixture
async def simulator() -> AsyncIterator[OpenAIResponsesSimulator]:
    simulator = OpenAIResponsesSimulator(KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


def adapter(url: str, client: AsyncBaseTransport, **options: Any) -> OpenAIResponses:
    return OpenAIResponses(
        Profile("raw", "Raw", MODELS, TIMEOUTS, 0), base_url=url, api_key=API_KEY, http=client, **options
    )


async def asked(
    simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport, request: ChatRequest, **options: Any
) -> dict[str, Any]:
    return await sent(simulator, adapter(simulator.url, client, **options), request)


# What is asked


async def test_the_request_carries_what_was_asked_and_nothing_else(
    simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport
) -> None:
    turns = (Turn("system", "Be brief."), USER, Turn("assistant", "Hi"), Turn("user", 'Go "on"'))
    params = Params(temperature=0.5, top_p=0.9, max_tokens=64)
    assert await asked(simulator, client, ChatRequest("tokens-2-0", turns, params, user="u1")) == {
        "model": "tokens-2-0",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": 'Go "on"'},
        ],
        "stream": True,
        "store": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 64,
        "user": "u1",
    }


async def test_parameters_are_kept_within_what_is_accepted(
    simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport
) -> None:
    params = Params(temperature=3.0, top_p=2.0, max_tokens=1)
    request = await asked(simulator, client, ChatRequest("tokens-2-0", (USER,), params))
    assert (request["temperature"], request["top_p"], request["max_output_tokens"]) == (2.0, 1.0, 16)


async def test_a_reply_that_reached_its_length_says_so(
    simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport
) -> None:
    request = ChatRequest("tokens-20-0", (USER,), Params(max_tokens=16))
    reply = await read(adapter(simulator.url, client), request)
    assert (reply.finishes, reply.usage) == ([Finish(FinishReason.LENGTH)], Usage(1, 16))


async def test_an_unfinished_answer_is_followed_by_a_request_to_go_on(
    simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport
) -> None:
    request = await asked(simulator, client, ChatRequest("tokens-1-0", (USER, Turn("assistant", "Once upon"))))
    assert request["input"][1:] == [
        {"role": "assistant", "content": "Once upon"},
        {"role": "user", "content": CONTINUE},
    ]
    assert not adapter(simulator.url, client).prefills


async def test_pictures_go_along_as_data(simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport) -> None:
    turns = (Turn("user", "What is it?", (Picture("image/png", b"\x89PNG"),)), Turn("assistant", "A cat."), USER)
    request = await asked(simulator, client, ChatRequest("tokens-1-0", turns))
    assert request["input"][0]["content"] == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="},
    ]
    assert request["input"][2]["content"] == "你好"


async def test_the_tables_options_go_along(simulator: OpenAIResponsesSimulator, client: AsyncBaseTransport) -> None:
    options = {"effort": "low", "summary": "auto", "store": True, "extra": {"metadata": {"app": "chat"}}}
    request = await asked(simulator, client, ChatRequest("tokens-1-0", (USER,)), **options)
    assert request["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (request["store"], request["metadata"]) == (True, {"app": "chat"})
    assert (await asked(simulator, client, ChatRequest("tokens-1-0", (USER,)), effort="high"))["reasoning"] == {
        "effort": "high"
    }


async def test_openai_itself_is_told_the_user_in_its_newer_field(client: AsyncBaseTransport) -> None:
    request = ChatRequest("m", (USER,), user="u1")
    body = adapter("https://api.openai.com/v1", client).body(request)
    assert (body["safety_identifier"], "user" in body) == ("u1", False)


# What is answered


def event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n"


def delta(text: str, **fields: object) -> str:
    return event("response.output_text.delta", delta=text, **fields)


COMPLETED = event(
    "response.completed", response={"id": "resp_1", "usage": {"input_tokens": 9, "output_tokens": 2}, "error": None}
)


async def play(client: AsyncBaseTransport, *blocks: str, reply: Reply | None = None) -> Reply:
    async with RawUpstream(STREAM_HEAD + "".join(blocks).encode()) as upstream:
        return await read(adapter(upstream.url, client), question("demo"), reply)


async def fail(client: AsyncBaseTransport, *blocks: str, said: str = "Hi") -> UpstreamError:
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, *blocks, reply=reply)
    assert (reply.text, reply.finishes) == (said, [])
    assert MARK not in f"{failure.value!r} {failure.value} {failure.value.details}"
    return failure.value


SAME_REPLY = {
    "events without a number": [delta("Hi"), COMPLETED],
    "events with one": [delta("H", sequence_number=4), delta("i", sequence_number=5), COMPLETED],
    "all with the same one": [delta("H", sequence_number=0), delta("i", sequence_number=0), COMPLETED],
    "a mark behind the end": [delta("Hi"), COMPLETED, "data: [DONE]\n\n"],
    "no empty line at the end": [delta("Hi"), COMPLETED.rstrip("\n")],
    "no names of events": [delta("Hi").partition("\n")[2], COMPLETED.partition("\n")[2]],
    "a status glued to the name": [delta("Hi").replace("delta\n", "delta:HTTP_STATUS/200\n", 1), COMPLETED],
    "a refusal": [event("response.refusal.delta", delta="Hi"), COMPLETED],
    "events of other kinds": [
        event("response.output_item.added", item={"type": "reasoning", "summary": []}),
        event("response.function_call_arguments.delta", delta='{"city":'),
        event("response.of.the.future", delta={"x": 1}), event("of.the.future", x=1, error=None),
        event("response.mcp_call.failed", error={"code": "server_error"}),
        delta("Hi"), event("response.output_text.done", text="Hi"), event("keepalive"), COMPLETED,
    ],
}  # fmt: skip


@pytest.mark.parametrize("blocks", SAME_REPLY.values(), ids=SAME_REPLY.keys())
async def test_a_quirk_changes_nothing(client: AsyncBaseTransport, blocks: list[str]) -> None:
    reply = await play(client, *blocks)
    assert (reply.text, reply.finishes, reply.usage) == ("Hi", [Finish(FinishReason.STOP)], Usage(9, 2))


async def test_a_blank_line_stands_between_the_parts_of_what_was_thought(client: AsyncBaseTransport) -> None:
    def thought(text: str, part: int, kind: str = "summary") -> str:
        return event(f"response.reasoning_{kind}text.delta", delta=text, output_index=0, summary_index=part)

    reply = await play(
        client, thought("**One** ", 0, "summary_"), thought("a", 0, "summary_"), thought("", 1, "summary_"),
        thought("**Two**", 1, "summary_"), delta("Yes."), COMPLETED,
    )  # fmt: skip
    assert (reply.reasoning, reply.text) == ("**One** a\n\n**Two**", "Yes.")
    plain = await play(client, event("response.reasoning_text.delta", delta="Hm.", content_index=0), COMPLETED)
    assert plain.reasoning == "Hm."


INCOMPLETE = [
    ({"reason": "max_output_tokens"}, FinishReason.LENGTH),
    ({"reason": "content_filter"}, FinishReason.CONTENT_FILTER),
    (None, FinishReason.LENGTH),
]


@pytest.mark.parametrize(("details", "finish"), INCOMPLETE)
async def test_an_incomplete_response_says_why(
    client: AsyncBaseTransport, details: dict[str, str] | None, finish: FinishReason
) -> None:
    end = event("response.incomplete", response={"id": "r", "incomplete_details": details, "usage": None})
    assert (await play(client, delta("Hi"), end)).finishes == [Finish(finish)]


FAILURES = [
    ("server_error", "UPSTREAM_UNAVAILABLE", True, None),
    ("rate_limit_exceeded", "UPSTREAM_RATE_LIMITED", True, None),
    ("invalid_prompt", "CONTENT_FILTERED", False, None),
    ("image_content_policy_violation", "CONTENT_FILTERED", False, None),
    ("image_too_large", "UPSTREAM_REJECTED", False, "pictures"),
    ("failed_to_download_image", "UPSTREAM_REJECTED", False, "pictures"),
    (None, "UPSTREAM_UNAVAILABLE", True, None),
]


@pytest.mark.parametrize(("code", "ours", "again", "cause"), FAILURES)
async def test_a_failure_has_its_code_however_it_is_told(
    client: AsyncBaseTransport, code: str | None, ours: str, again: bool, cause: str | None
) -> None:
    error = {"code": code, "message": MARK}
    for end in (
        event("response.failed", response={"id": "r", "status": "failed", "error": error}),
        event("error", **error, param=None, sequence_number=7),
        event("error", error=error),
        event("of.the.future", error=error),
        event("error", **error).partition("\n")[2],
        f"data: {json.dumps({'error': error})}\n\n",
    ):
        failure = await fail(client, delta("Hi"), end)
        assert (failure.error_code, failure.attempt_again) == (ours, again)
        assert failure.details.get("cause") == cause


async def test_a_response_that_somebody_else_cancelled_is_no_reply(client: AsyncBaseTransport) -> None:
    failure = await fail(client, delta("Hi"), event("response.cancelled", response={"id": "r"}))
    assert failure.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


@pytest.mark.parametrize("end", ["", "data: [DONE]\n\n", COMPLETED[:-20]], ids=["nothing", "done", "half of it"])
async def test_without_its_last_event_a_response_is_cut(client: AsyncBaseTransport, end: str) -> None:
    assert (await fail(client, delta("Hi"), end)).error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_prose_in_an_error_event_is_a_failure_of_the_upstream(client: AsyncBaseTransport) -> None:
    failure = await fail(client, delta("Hi"), f"event: error\ndata: {MARK}\n\n")
    assert failure.error_code is ErrorCode.UPSTREAM_UNAVAILABLE


async def test_a_parameter_that_a_model_refuses_is_named_as_the_cause(client: AsyncBaseTransport) -> None:
    error = {"message": MARK, "type": "invalid_request_error", "param": "temperature", "code": None}
    body = json.dumps({"error": error}).encode()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with RawUpstream(head + body) as upstream:
        with pytest.raises(UpstreamError) as failure:
            await read(adapter(upstream.url, client), question("demo"))
    assert failure.value.details["cause"] is Cause.PARAMETERS
