"""How OpenAI-like services are asked: what each wants otherwise, and what a providers file may say about it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest
from httpx import AsyncBaseTransport

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers.base import ChatRequest, Params, Picture, Profile, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.openai_chat import OpenAIChat
from chat.providers.openai_vendors import VENDORS, Vendor, VendorName, vendor_at
from chat.providers.providers_file import ProvidersFileError, declarations_of
from chat.providers.registry import Registry
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, question, read
from tests.providers.openai_upstream import DONE, answer, block, delta
from tests.providers.raw_upstream import RawUpstream

SYSTEM, ONE, YES, TWO = (
    Turn("system", "Be brief."),
    Turn("user", "One?"),
    Turn("assistant", "Yes."),
    Turn("user", "Two?"),
)
PNG = Picture("image/png", b"\x89PNG")
FAR = Params(temperature=9.0, top_p=9.0, max_tokens=1_000_000)
NEAR = Params(temperature=0.0, top_p=0.0, max_tokens=0)


def adapter(client: AsyncBaseTransport, url: str = "http://127.0.0.1:1/v1", **options: Any) -> OpenAIChat:
    return OpenAIChat(Profile("raw", "Raw", MODELS, TIMEOUTS, 0), base_url=url, api_key=API_KEY, http=client, **options)


# Who it is


ADDRESSES = [
    ("https://api.openai.com/v1", "openai"),
    ("https://eu.api.openai.com/v1", "openai"),
    ("https://house.openai.azure.com/openai/v1", "azure"),
    ("https://api.deepseek.com/v1", "deepseek"),
    ("https://api.deepseek.com", "deepseek"),
    ("https://api.deepseek.com/beta", "deepseek_beta"),
    ("https://api.deepseek.com/beta/", "deepseek_beta"),
    ("https://api.deepseek.com/betatest", "deepseek"),
    ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen"),
    ("https://open.bigmodel.cn/api/paas/v4", "glm"),
    ("https://api.moonshot.ai/v1", "moonshot"),
    ("https://qianfan.baidubce.com/v2", "qianfan"),
    ("https://spark-api-open.xf-yun.com/v2", "spark"),
    ("http://127.0.0.1:8000/v1", "other"),
    ("https://api.openai.com.example.net/v1", "other"),
    ("https://notapi.openai.com.cn/v1", "other"),
]


@pytest.mark.parametrize(("url", "name"), ADDRESSES)
def test_a_vendor_is_known_by_its_host(url: str, name: str) -> None:
    assert vendor_at(url) is VENDORS[name]


def test_a_vendor_that_is_named_counts_before_its_host() -> None:
    assert vendor_at("https://api.openai.com/v1", "vllm") is VENDORS["vllm"]


def test_each_vendor_can_be_named_and_nobody_else() -> None:
    assert set(get_args(VendorName)) == {"auto", *VENDORS}


# What it is asked


@pytest.mark.parametrize("params", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("name", VENDORS)
def test_parameters_are_kept_within_what_a_vendor_takes(client: AsyncBaseTransport, name: str, params: Params) -> None:
    vendor = VENDORS[name]
    body = adapter(client, vendor=name).body(ChatRequest("m", (ONE,), params, "u1"))
    assert vendor.temperature_least <= body["temperature"] <= vendor.temperature_most
    assert vendor.top_p_least <= body["top_p"] <= 1.0
    assert 1 <= body[vendor.max_tokens] <= 1_000_000
    assert {"max_tokens", "max_completion_tokens"} & body.keys() == {vendor.max_tokens}
    assert ("stream_options" in body) is vendor.counts_on_request
    users = {field: body[field] for field in ("user", "user_id", "safety_identifier") if field in body}
    assert users == ({} if vendor.user is None else {vendor.user: "u1"})


SPARK = [
    ("lite", 4096, 1.0, False),
    ("generalv3.5", 8192, 1.0, True),
    ("spark-x", 65535, 2.0, False),
    ("a-model-of-ones-own", 1_000_000, 2.0, True),
]


@pytest.mark.parametrize(("model", "tokens", "temperature", "system"), SPARK)
def test_sparks_models_have_limits_of_their_own_at_one_address(
    client: AsyncBaseTransport, model: str, tokens: int, temperature: float, system: bool
) -> None:
    request = ChatRequest(model, (SYSTEM, ONE), FAR)
    body = adapter(client, "https://spark-api-open.xf-yun.com/v1").body(request)
    assert (body["max_tokens"], body["temperature"]) == (tokens, temperature)
    alone = [{"role": "user", "content": "Be brief.\n\nOne?"}]
    apart = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"}]
    assert body["messages"] == (apart if system else alone)


def said(client: AsyncBaseTransport, *turns: Turn, **options: Any) -> list[tuple[str, Any]]:
    messages = adapter(client, **options).body(ChatRequest("m", turns))["messages"]
    return [(message["role"], message["content"]) for message in messages]


ORDERS = [
    ((SYSTEM, ONE, YES, TWO), [("system", "Be brief."), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?")]),
    ((ONE, TWO), [("user", "One?\n\nTwo?")]),
    ((ONE, YES, YES, TWO), [("user", "One?"), ("assistant", "Yes.\n\nYes."), ("user", "Two?")]),
    ((YES, ONE), [("user", "One?")]),
    ((SYSTEM, YES, ONE, TWO, YES), [
        ("system", "Be brief."), ("user", "One?\n\nTwo?"), ("assistant", "Yes."), ("user", CONTINUE)
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "expected"), ORDERS)
def test_where_roles_must_take_turns_they_do(
    client: AsyncBaseTransport, turns: tuple[Turn, ...], expected: list[tuple[str, str]]
) -> None:
    assert said(client, *turns, vendor="qianfan") == expected


def test_where_they_need_not_nothing_is_changed(client: AsyncBaseTransport) -> None:
    assert said(client, YES, ONE, TWO) == [("assistant", "Yes."), ("user", "One?"), ("user", "Two?")]


def test_pictures_of_turns_that_become_one_stay_together(client: AsyncBaseTransport) -> None:
    first, second = Turn("user", "One?", (PNG,)), Turn("user", "Two?", (PNG,))
    ((_role, content),) = said(client, first, second, vendor="qianfan")
    assert [part["type"] for part in content] == ["text", "image_url", "image_url"]
    assert content[0]["text"] == "One?\n\nTwo?"


def test_a_picture_is_a_data_uri_and_a_text_alone_is_no_list(client: AsyncBaseTransport) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert said(client, Turn("user", "What?", (PNG,)), YES)[:2] == [
        ("user", [{"type": "text", "text": "What?"}, picture]),
        ("assistant", "Yes."),
    ]
    assert said(client, Turn("user", "", (PNG,))) == [("user", [picture])]


async def test_who_takes_no_pictures_is_not_asked_about_them(client: AsyncBaseTransport) -> None:
    async with RawUpstream() as upstream:
        provider = adapter(client, upstream.url, vendor="spark")
        with pytest.raises(UpstreamError) as failure:
            await read(provider, ChatRequest("4.0Ultra", (Turn("user", "What?", (PNG,)),)))
        assert upstream.requests == []
    assert failure.value.error_code is ErrorCode.UPSTREAM_REJECTED
    assert failure.value.details["cause"] is Cause.PICTURES


# An unfinished answer


PREFILLS: list[tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = [
    ({"prefill": "plain"}, {}, {}),
    ({"prefill": "prefix"}, {"prefix": True}, {}),
    ({"prefill": "partial"}, {"partial": True}, {}),
    ({"prefill": "continue_final_message"}, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ({"vendor": "vllm"}, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ({"vendor": "moonshot"}, {"partial": True}, {}),
    ({"vendor": "deepseek_beta"}, {"prefix": True}, {}),
    ({"vendor": "llama_cpp"}, {}, {}),
    ({"vendor": "vllm", "prefill": "prefix"}, {"prefix": True}, {}),
]


@pytest.mark.parametrize(("options", "on_turn", "on_body"), PREFILLS)
def test_an_unfinished_answer_is_handed_back_as_its_vendor_wants(
    client: AsyncBaseTransport, options: dict[str, Any], on_turn: dict[str, Any], on_body: dict[str, Any]
) -> None:
    provider = adapter(client, **options)
    body = provider.body(ChatRequest("m", (ONE, YES)))
    assert provider.prefills
    assert body["messages"][1:] == [{"role": "assistant", "content": "Yes.", **on_turn}]
    named = ("continue_final_message", "add_generation_prompt")
    assert {name: body[name] for name in named if name in body} == on_body
    finished = json.dumps(provider.body(ChatRequest("m", (ONE, YES, TWO))))
    assert not any(word in finished for word in ("prefix", "partial", "continue_final_message"))


@pytest.mark.parametrize("options", [{}, {"vendor": "deepseek"}, {"vendor": "vllm", "prefill": "no"}])
def test_where_that_is_not_possible_the_rest_is_asked_for(client: AsyncBaseTransport, options: dict[str, Any]) -> None:
    provider = adapter(client, **options)
    assert not provider.prefills
    assert provider.body(ChatRequest("m", (ONE, YES)))["messages"][-1] == {"role": "user", "content": CONTINUE}


# What a providers file may say


@asynccontextmanager
async def declared(**table: Any) -> AsyncIterator[Registry]:
    whole = {"kind": "openai_chat", "base_url": "http://127.0.0.1:1/v1", "api_key": "none", "models": ["m"], **table}
    registry = Registry(declarations_of({"providers": {"one": whole}}, "the test"), {})
    try:
        yield registry
    finally:
        await registry.aclose()


async def test_further_headers_and_fields_go_along() -> None:
    further = {"headers": {"appid": "app-1"}, "extra": {"enable_thinking": True, "temperature": 0.1}}
    async with (
        RawUpstream(answer(block(delta("x")), DONE)) as upstream,
        declared(base_url=upstream.url, **further) as registry,
    ):
        await read(registry.providers["one"], ChatRequest("m", (ONE,), Params(temperature=0.9)))
    head, _blank, body = upstream.requests[0].partition(b"\r\n\r\n")
    assert b"appid: app-1" in head.split(b"\r\n")
    sent = json.loads(body)
    assert (sent["enable_thinking"], sent["temperature"]) == (True, 0.1)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"vendor": "openia"}, "vendor"),
    ({"prefill": "always"}, "prefill"),
    ({"headers": {"Authorization": "Bearer sk-secret"}}, "headers"),
    ({"headers": {"x-api-key": "sk-secret"}}, "headers"),
    ({"headers": {"api-key": "sk-secret"}}, "headers"),
    ({"headers": {"Host": "example.com"}}, "headers"),
    ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers"),
    ({"headers": {"X A": "1"}}, "headers"),
    ({"headers": {"X-A": 1}}, "headers"),
    ({"extra": {"messages": []}}, "extra"),
    ({"extra": {"stream": False}}, "extra"),
    ({"extra": "enable_thinking"}, "extra"),
]


@pytest.mark.parametrize(("table", "named"), REFUSED)
async def test_what_makes_no_sense_there_is_named(table: dict[str, Any], named: str) -> None:
    with pytest.raises(ProvidersFileError) as mistake:
        async with declared(**table):
            pass
    assert named in str(mistake.value)
    assert "sk-secret" not in str(mistake.value)


async def test_a_reply_is_read_the_same_whoever_it_comes_from(client: AsyncBaseTransport) -> None:
    for name in VENDORS:
        async with RawUpstream(answer(block(delta("Hi")), DONE)) as upstream:
            assert (await read(adapter(client, upstream.url, vendor=name), question("demo"))).text == "Hi"


def test_nothing_is_known_of_others() -> None:
    assert VENDORS["other"] == Vendor()
