"""AIs of one's own on a WebSocket: several dialects, each by nothing but its table, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, Usage
from chat.providers.base import ChatRequest, Params, Picture, Provider, Turn
from chat.providers.continuing import CONTINUE
from tests.providers.conftest import Reply, question, read
from tests.providers.json_upstream import KEY, upstream

TURNS = (Turn("system", "Be brief."), Turn("user", "One?"), Turn("assistant", "Yes."), Turn("user", "Two?"))
CAT = Picture("image/png", b"\x89PNG")


async def failure_of(provider: Provider, reply: Reply | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as failure:
        await read(provider, question("m"), reply)
    return failure.value


DONE = {"type": "done"}

# Whole dialects


async def test_a_dialect_that_repeats_the_whole_text_so_far() -> None:
    table = {
        "auth": "header:X-Key",
        "request": {
            "messages": "input.history", "role": "from", "content": "text",
            "roles": {"user": "human", "assistant": "bot"}, "system": "field:input.persona", "model": "engine",
            "user": "", "temperature": "options.temp", "top_p": "", "max_tokens": "options.limits.tokens",
            "extra": {"options": {"stream": True}, "client": "chat"},
        },
        "reply": {"full": "output.text", "end": "[DONE]", "finish": "output.why", "finishes": {"cap": "length"},
                  "input_tokens": "spent.0", "output_tokens": "spent.-1", "keep_alive": ["ping"]},
    }  # fmt: skip
    whole = {"output": {"text": "您好,世界", "why": "cap"}, "spent": [7, 1, 5]}
    texts = [{"output": {"text": text}} for text in ("", "您", "您好,", "您好", "您好,世")]
    async with upstream("ping", *texts, whole, '"[DONE]"', " [DONE] ", **table) as running:
        with pytest.raises(UpstreamError):
            await read(running.provider, question("m"))  # its words in quotes are JSON, and no object
    async with upstream("ping", *texts, whole, " [DONE] ", **table) as running:
        reply = await read(running.provider, ChatRequest("e-1", TURNS, Params(0.5, 0.9, 64), "u1"))
    assert reply.text == "您好,世界"
    assert reply.usage == Usage(7, 5)
    assert reply.finishes == [Finish(FinishReason.LENGTH)]
    assert running.asked == [
        {
            "engine": "e-1",
            "client": "chat",
            "input": {
                "persona": "Be brief.",
                "history": [
                    {"from": "human", "text": "One?"},
                    {"from": "bot", "text": "Yes."},
                    {"from": "human", "text": "Two?"},
                ],
            },
            "options": {"stream": True, "temp": 0.5, "limits": {"tokens": 64}},
        }
    ]
    assert running.handshakes[0].headers["X-Key"] == KEY
    assert "Authorization" not in running.handshakes[0].headers


async def test_a_dialect_whose_messages_differ_by_their_type_and_that_ends_by_closing() -> None:
    table = {
        "auth": "query:access token",
        "request": {"system": "first"},
        "reply": {
            "delta": {"at": "text", "field": "kind", "value": ["answer", "code"]},
            "reasoning": {"at": "text", "field": "kind", "value": "thought"},
            "error": {"field": "kind", "value": "failure"}, "code": "number", "errors": {"17": "rate_limited"},
            "end": "", "close": True, "keep_alive": [{"field": "kind", "value": "beat"}],
        },
    }  # fmt: skip
    messages = [
        {"kind": "beat", "text": "."},
        {"kind": "thought", "text": "Hm."},
        {"kind": "answer", "text": "Use "},
        {"kind": "tool", "text": "no answer"},
        {"kind": "code", "text": "x = 1"},
    ]
    async with upstream(*messages, close=1000, **table) as running:
        reply = await read(running.provider, ChatRequest("m", TURNS))
    assert (reply.reasoning, reply.text) == ("Hm.", "Use x = 1")
    assert reply.finishes == [Finish(FinishReason.STOP)]
    assert running.handshakes[0].path == "/talk?access%20token=a%20key%2Fof%20mine"
    assert [turn["content"] for turn in running.asked[0]["messages"]] == ["Be brief.\n\nOne?", "Yes.", "Two?"]
    for code, expected in ((1011, ErrorCode.UPSTREAM_UNAVAILABLE), (1009, ErrorCode.UPSTREAM_REJECTED)):
        async with upstream(*messages, close=code, **table) as running:
            assert (await failure_of(running.provider)).error_code is expected
    async with upstream(close=1000, **table) as running:
        assert (await failure_of(running.provider)).error_code is ErrorCode.UPSTREAM_PROTOCOL
    async with upstream({"kind": "failure", "number": 17}, close=1000, **table) as running:
        error = await failure_of(running.provider)
        assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_RATE_LIMITED, True)


async def test_a_dialect_with_lists_and_a_mark_without_a_value() -> None:
    def chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"delta": {"content": text}, "finish": finish}]}

    table = {
        "auth": "field:auth.token",
        "reply": {
            "delta": "choices.0.delta.content",
            "finish": "choices.0.finish",
            "end": {"field": "choices.0.finish"},
        },
    }
    async with upstream(chunk("H"), {"choices": []}, chunk("i"), chunk(None, "content_filter"), **table) as running:
        reply = await read(running.provider, question("m"))
    assert (reply.text, reply.finishes) == ("Hi", [Finish(FinishReason.CONTENT_FILTER)])
    assert running.asked[0]["auth"] == {"token": KEY}
    assert "Authorization" not in running.handshakes[0].headers


# What is asked


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Cookie", "X-Host", "Hosted_Key"])
async def test_the_key_may_go_into_a_header_of_any_other_name(name: str) -> None:
    async with upstream({"delta": "x"}, DONE, auth=f"header:{name}") as running:
        await read(running.provider, question("m"))
    assert running.handshakes[0].headers.get_all(name) == [KEY]


@pytest.mark.parametrize("table", [{"auth": "none"}, {"api_key": "none"}], ids=["it is not sent", "there is none"])
async def test_an_upstream_without_a_key_is_given_none(table: dict[str, Any]) -> None:
    async with upstream({"delta": "x"}, DONE, **table) as running:
        await read(running.provider, question("m"))
    shown = f"{running.handshakes[0].path} {running.handshakes[0].headers} {running.asked}"
    assert KEY not in shown
    assert "Authorization" not in shown


@pytest.mark.parametrize(
    ("prefill", "last"), [(True, ("assistant", "Half")), (False, ("user", CONTINUE))], ids=["it can", "it cannot"]
)
async def test_an_unfinished_answer_is_gone_on_with(prefill: bool, last: tuple[str, str]) -> None:
    async with upstream({"delta": "x"}, DONE, request={"prefill": prefill}) as running:
        assert running.provider.prefills is prefill
        await read(running.provider, ChatRequest("m", (Turn("user", "Q"), Turn("assistant", "Half"))))
    assert (running.asked[0]["messages"][-1]["role"], running.asked[0]["messages"][-1]["content"]) == last


@pytest.mark.parametrize(
    ("keys", "sent"),
    [({}, "iVBORw=="), ({"data_urls": True}, "data:image/png;base64,iVBORw==")],
    ids=["bare", "as URL"],
)
async def test_pictures_go_along_where_they_have_a_place(keys: dict[str, Any], sent: str) -> None:
    async with upstream({"delta": "x"}, DONE, request={"pictures": "images", **keys}) as running:
        await read(running.provider, ChatRequest("m", (Turn("user", "One?"), Turn("user", "What?", (CAT, CAT)))))
    assert running.asked[0]["messages"] == [
        {"role": "user", "content": "One?"},
        {"role": "user", "content": "What?", "images": [sent, sent]},
    ]


async def test_requests_do_not_write_into_what_they_have_in_common() -> None:
    async with upstream({"delta": "x"}, DONE, request={"temperature": "o.t", "extra": {"o": {"a": 1}}}) as running:
        await read(running.provider, ChatRequest("m", TURNS, Params(temperature=0.5)))
        await read(running.provider, ChatRequest("m", TURNS))
    assert [asked["o"] for asked in running.asked] == [{"a": 1, "t": 0.5}, {"a": 1}]


# What comes


ERRORS = [
    ({"error": {"code": "key"}}, ErrorCode.UPSTREAM_AUTH, False, Cause.KEY),
    ({"error": "filtered"}, ErrorCode.CONTENT_FILTERED, False, None),
    ({"error": {"code": "E7"}}, ErrorCode.UPSTREAM_AUTH, False, Cause.QUOTA),
    ({"error": {"code": 7}}, ErrorCode.UPSTREAM_REJECTED, False, Cause.CONTEXT),
    ({"error": {"code": 429}}, ErrorCode.UPSTREAM_RATE_LIMITED, True, None),
    ({"error": {"code": "503"}}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"error": {"code": 422}}, ErrorCode.UPSTREAM_REJECTED, False, None),
    ({"error": {"code": "²"}}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"error": {"message": "what now?"}}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
    ({"error": True}, ErrorCode.UPSTREAM_UNAVAILABLE, True, None),
]


@pytest.mark.parametrize(("message", "code", "again", "cause"), ERRORS, ids=[json.dumps(case[0]) for case in ERRORS])
async def test_an_error_has_its_code(message: object, code: ErrorCode, again: bool, cause: Cause | None) -> None:
    reply = Reply()
    async with upstream({"delta": "x"}, message, reply={"errors": {"E7": "quota", "7": "context"}}) as running:
        error = await failure_of(running.provider, reply)
    assert (error.error_code, error.attempt_again, error.details.get("cause")) == (code, again, cause)
    assert reply.text == "x"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (10**9, 86400.0),
        (10**400, 86400.0),
        (-1, None),
        ("soon", None),
        (True, None),
        (None, None),
    ],
)
async def test_an_error_may_say_how_long_to_wait(said: object, seconds: float | None) -> None:
    async with upstream({"error": {"code": "rate_limited", "retry_after": said}}) as running:
        assert (await failure_of(running.provider)).retry_after == seconds


@pytest.mark.parametrize("error", [None, False, "", 0, {}, []], ids=repr)
async def test_an_error_that_is_none_is_no_failure(error: object) -> None:
    async with upstream({"delta": "x", "error": error}, DONE) as running:
        assert (await read(running.provider, question("m"))).text == "x"


@pytest.mark.parametrize(
    "broken", ["no JSON", "[]", "7", "", '{"delta": 7}', '{"reasoning": []}', b"\x00", "[" * 100_000],
    ids=["words", "a list", "a number", "nothing", "no text", "no text either", "binary", "a deep nest"],
)  # fmt: skip
async def test_what_is_not_of_the_dialect_keeps_the_text_before_it(broken: str | bytes) -> None:
    reply = Reply()
    async with upstream({"delta": "before"}, broken, {"delta": "after"}, DONE) as running:
        error = await failure_of(running.provider, reply)
    assert (error.error_code, reply.text) == (ErrorCode.UPSTREAM_PROTOCOL, "before")


async def test_a_whole_text_that_goes_another_way_is_broken() -> None:
    reply = Reply()
    async with upstream({"full": "One two"}, {"full": "One three"}, DONE, reply={"full": "full"}) as running:
        error = await failure_of(running.provider, reply)
    assert (error.error_code, reply.text) == (ErrorCode.UPSTREAM_PROTOCOL, "One two")


async def test_a_whole_text_may_break_off_inside_a_character() -> None:
    async with upstream('{"full": "a\\ud83d"}', '{"full": "a\\ud83d\\ude00"}', DONE, reply={"full": "full"}) as running:
        assert (await read(running.provider, question("m"))).text == "a😀"


@pytest.mark.parametrize("value", [1, "true", None, "Done"], ids=repr)
async def test_only_the_marks_own_value_ends_a_reply(value: object) -> None:
    end = {"field": "over", "value": True}
    messages = (
        {"over": value, "delta": "a"},
        {"over": False, "delta": "b"},
        {"over": True, "delta": "c"},
        {"delta": "d"},
    )
    async with upstream(*messages, reply={"end": end}) as running:
        assert (await read(running.provider, question("m"))).text == "abc"


async def test_tokens_that_are_no_numbers_are_not_counted() -> None:
    usage = {"input_tokens": "many", "output_tokens": True}
    async with upstream({"delta": "x", "usage": usage}, DONE) as running:
        assert (await read(running.provider, question("m"))).usage is None
