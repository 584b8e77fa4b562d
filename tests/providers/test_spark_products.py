"""What each of iFlytek Spark's products is asked, and how."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers.base import ChatRequest, Model, Params, Picture, Profile, Turn
from chat.providers.providers_file import ProvidersFileError, declarations_of
from chat.providers.registry import Registry
from chat.providers.spark import Spark
from chat.providers.spark_messages import PICTURE_BYTES
from chat.providers.spark_products import domain_for
from chat.simulators.script import THOUGHTS
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import API_KEY, API_SECRET, MODELS, TIMEOUTS, question, read

USER, ANSWER, SYSTEM = Turn("user", "Q"), Turn("assistant", "A"), Turn("system", "S")
CAT, DOG = Picture("image/png", b"\x89PNG cat"), Picture("image/jpeg", b"\xff\xd8 dog")
GRANTED = {"app_id": "a1b2c3d4", "api_key": API_KEY, "api_secret": API_SECRET}

VENDOR = "wss://spark-api.xf-yun.com"
PRODUCTS = [
    (f"{VENDOR}/v1.1/chat", "lite", 4096, 1.0, False, 8192),
    (f"{VENDOR}/v2.1/chat", "generalv2", 8192, 1.0, False, 8192),
    (f"{VENDOR}/v3.1/chat", "generalv3", 8192, 1.0, False, 8192),
    (f"{VENDOR}/chat/pro-128k", "pro-128k", 4096, 1.0, False, 131072),
    (f"{VENDOR}/v3.5/chat", "generalv3.5", 8192, 1.0, True, 8192),
    (f"{VENDOR}/chat/max-32k", "max-32k", 8192, 1.0, False, 32768),
    (f"{VENDOR}/v4.0/chat", "4.0Ultra", 8192, 1.0, True, 8192),
    (f"{VENDOR}/v1/x1", "spark-x", 65535, 2.0, False, 65536),
    ("wss://spark-openapi-n.cn-huabei-1.xf-yun.com/v1.1/chat_kjwx", "kjwx", 8192, 1.0, False, None),
    ("wss://spark-api-n.xf-yun.com/v1.1/chat_multilang", "multilang", 8192, 1.0, False, None),
    ("wss://spark-api.cn-huabei-1.xf-yun.com/v2.1/image", "imagev3", 8192, 1.0, False, 8192),
    ("wss://maas-api.cn-huabei-1.xf-yun.com/v1.1/chat", "A model of ours", 32768, 1.0, True, 32767),
    ("wss://spark-api-n.xf-yun.com/v1.1/chat", "A model of ours", 32768, 1.0, True, 32767),
    ("wss://gateway.example.com/spark", "A model of ours", 65535, 2.0, True, None),
]


def spark(url: str, models: tuple[Model, ...] = MODELS, **keys: Any) -> Spark:
    return Spark(Profile("spark", "Spark", models, TIMEOUTS, 0), base_url=url, **GRANTED, **keys)


def asked(provider: Spark, *turns: Turn, model: str = "A model of ours", params: Params | None = None) -> Any:
    return json.loads(provider.question(ChatRequest(model, turns, params or Params())))


@pytest.mark.parametrize(
    ("url", "domain", "max_tokens", "temperature", "system", "context"), PRODUCTS, ids=[row[0] for row in PRODUCTS]
)
def test_each_product_is_asked_as_it_wants(
    url: str, domain: str, max_tokens: int, temperature: float, system: bool, context: int | None
) -> None:
    provider = spark(url)
    sent = asked(provider, SYSTEM, USER, params=Params(99.0, 99.0, 999_999))
    assert sent["parameter"]["chat"] == {
        "domain": domain, "temperature": temperature, "top_p": 1.0, "max_tokens": max_tokens
    }  # fmt: skip
    messages = [(turn["role"], turn["content"]) for turn in sent["payload"]["message"]["text"]]
    assert messages == ([("system", "S"), ("user", "Q")] if system else [("user", "S\n\nQ")])
    assert [model.context for model in provider.models] == [context]


def test_a_context_that_was_declared_stands() -> None:
    provider = spark(f"{VENDOR}/v4.0/chat", (Model("4.0Ultra", "Ultra", context=100), Model("other", "Other")))
    assert [(model.label, model.context) for model in provider.models] == [("Ultra", 100), ("Other", 8192)]


@pytest.mark.parametrize(
    ("model", "url", "domain"),
    [
        ("generalv3.5", f"{VENDOR}/v3.5/chat", "generalv3.5"),
        ("Spark Max", f"{VENDOR}/v3.5/chat", "generalv3.5"),
        ("general", f"{VENDOR}/v1.1/chat", "general"),
        ("x1", f"{VENDOR}/v1/x1", "x1"),
        ("image", "wss://spark-api.cn-huabei-1.xf-yun.com/v2.1/image", "image"),
        ("xs3f9a", "wss://maas-api.cn-huabei-1.xf-yun.com/v1.1/chat", "xs3f9a"),
        ("patch", "wss://spark-api-n.xf-yun.com/v1.1/chat", "patch"),
        ("patchv3", "wss://spark-api-n.xf-yun.com/v3.1/chat", "patchv3"),
        ("languages", "wss://spark-api-n.xf-yun.com/v1.1/chat_multilang", "multilang"),
        ("tokens-3-0", "ws://127.0.0.1:1/v3.5/chat", "tokens-3-0"),
    ],
)
def test_the_domain_belongs_to_the_path(model: str, url: str, domain: str) -> None:
    assert domain_for(model, url) == domain


@pytest.mark.parametrize(("options", "domain"), [({"patch_id": "1872"}, "xs3f9a"), ({}, "lite")])
def test_a_resource_of_ones_own_has_a_domain_of_its_own(options: dict[str, str], domain: str) -> None:
    sent = asked(spark(f"{VENDOR}/v1.1/chat", **options), USER, model="xs3f9a")
    assert sent["parameter"]["chat"]["domain"] == domain


@pytest.mark.parametrize(
    ("path", "params", "sent"),
    [
        ("/v3.5/chat", Params(), {}),
        ("/v3.5/chat", Params(1.7, 1.2, 100_000), {"temperature": 1.0, "top_p": 1.0, "max_tokens": 8192}),
        ("/v3.5/chat", Params(0.0, 0.0, 0), {"temperature": 0.01, "top_p": 0.01, "max_tokens": 1}),
        ("/v1.1/chat", Params(0.5, None, 8192), {"temperature": 0.5, "max_tokens": 4096}),
        ("/v1/x1", Params(1.7, 0.9, 60_000), {"temperature": 1.7, "top_p": 0.9, "max_tokens": 60_000}),
    ],
)
async def test_parameters_stay_within_what_the_product_takes(
    spark_simulator: SparkSimulator, path: str, params: Params, sent: dict[str, float]
) -> None:
    provider = spark(spark_simulator.url.replace("/v3.5/chat", path))
    await read(provider, ChatRequest("tokens-1-0", (SYSTEM, USER), params, user="x" * 40))
    request = spark_simulator.connections[-1].request
    assert request["parameter"]["chat"] == {"domain": "tokens-1-0", **sent}
    assert request["header"] == {"app_id": "a1b2c3d4", "uid": "x" * 32}


async def test_the_keys_of_the_table_reach_the_upstream(spark_simulator: SparkSimulator) -> None:
    provider = spark(spark_simulator.url, top_k=6, patch_id="1872", thinking="disabled")
    await read(provider, question("tokens-1-0"))
    request = spark_simulator.connections[-1].request
    assert request["header"]["patch_id"] == ["1872"]
    assert request["parameter"]["chat"]["top_k"] == 6
    assert request["parameter"]["chat"]["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("wrong", [{"top_k": 7}, {"top_k": 0}, {"patch_id": 5}, {"thinking": "deeply"}])
def test_a_table_that_cannot_be_meant_is_refused_when_it_is_read(wrong: dict[str, Any]) -> None:
    secrets = {"app_id": "env:A", "api_key": "env:K", "api_secret": "env:S"}
    table = {"kind": "spark", "base_url": f"{VENDOR}/v3.5/chat", "models": ["m"], **secrets, **wrong}
    with pytest.raises(ProvidersFileError, match=f"spark.*{next(iter(wrong))}"):
        Registry(declarations_of({"providers": {"spark": table}}, "the test"), {"A": "a", "K": "k", "S": "s"})


async def test_reasoning_arrives_apart_from_the_answer(spark_simulator: SparkSimulator) -> None:
    provider = spark(spark_simulator.url.replace("/v3.5/chat", "/v1/x1"))
    reply = await read(provider, question("tokens-2-0"))
    assert (reply.reasoning, reply.text) == ("".join(THOUGHTS), "t000001 t000002 ")


# Pictures


def image_spark(simulator: SparkSimulator) -> Spark:
    return spark(simulator.url.replace("/v3.5/chat", "/v2.1/image"))


def base64_of(picture: Picture) -> str:
    return base64.b64encode(picture.data).decode()


@pytest.mark.parametrize(
    ("turns", "picture", "said"),
    [
        ((SYSTEM, Turn("user", "What?", (CAT,))), CAT, ["S\n\nWhat?"]),
        ((Turn("user", "What?", (CAT,)), ANSWER, USER), CAT, ["What?", "A", "Q"]),
        ((Turn("user", "What?", (CAT,)), ANSWER, Turn("user", "And?", (DOG,)), ANSWER, USER), DOG,
         ["What?", "A", "And?", "A", "Q"]),
        ((Turn("user", "Which?", (CAT, DOG)),), DOG, ["Which?"]),
    ],
    ids=["with a system prompt", "in a later turn", "another, later", "two at once"],
)  # fmt: skip
async def test_the_newest_picture_comes_first_in_every_turn(
    spark_simulator: SparkSimulator, turns: tuple[Turn, ...], picture: Picture, said: list[str]
) -> None:
    reply = await read(image_spark(spark_simulator), ChatRequest("echo", turns))
    assert reply.text == said[-1]
    first, *others = spark_simulator.connections[-1].request["payload"]["message"]["text"]
    assert first == {"role": "user", "content": base64_of(picture), "content_type": "image"}
    assert [turn["content"] for turn in others] == said
    assert {turn["content_type"] for turn in others} == {"text"}


async def test_a_question_without_a_picture_is_the_upstreams_to_refuse(spark_simulator: SparkSimulator) -> None:
    with pytest.raises(UpstreamError) as failure:
        await read(image_spark(spark_simulator), question("demo"))
    assert failure.value.error_code is ErrorCode.UPSTREAM_REJECTED


async def test_a_picture_of_the_largest_size_passes(spark_simulator: SparkSimulator) -> None:
    largest = Picture("image/jpeg", bytes(PICTURE_BYTES))
    turns = (Turn("user", "What?", (largest,)),)
    assert (await read(image_spark(spark_simulator), ChatRequest("echo", turns))).text == "What?"


@pytest.mark.parametrize(
    ("path", "picture"),
    [
        ("/v3.5/chat", CAT),
        ("/v1/x1", CAT),
        ("/v2.1/image", Picture("image/webp", b"RIFF")),
        ("/v2.1/image", Picture("image/png", bytes(PICTURE_BYTES + 1))),
    ],
    ids=["a product for text", "a product that thinks", "of another type", "over 4 MB"],
)
async def test_a_picture_that_is_not_taken_is_refused_before_anybody_is_asked(
    spark_simulator: SparkSimulator, path: str, picture: Picture
) -> None:
    provider = spark(spark_simulator.url.replace("/v3.5/chat", path))
    with pytest.raises(UpstreamError) as failure:
        await read(provider, ChatRequest("demo", (Turn("user", "What?", (picture,)), ANSWER, USER)))
    assert failure.value.error_code is ErrorCode.UPSTREAM_REJECTED
    assert failure.value.details["cause"] is Cause.PICTURES
    assert not spark_simulator.connections
