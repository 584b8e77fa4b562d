"""The providers that the usual keys in the environment bring, without a file."""

from __future__ import annotations

import re

import pytest

from chat.providers.registry import Registry
from chat.providers.usual import USUAL, usual_declarations


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        ("OPENAI_API_KEY", "openai"),
        ("DEEPSEEK_API_KEY", "deepseek"),
        ("DASHSCOPE_API_KEY", "qwen"),
        ("MOONSHOT_API_KEY", "moonshot"),
        ("ZHIPUAI_API_KEY", "glm"),
        ("QIANFAN_API_KEY", "qianfan-v2"),
    ],
)
async def test_a_usual_key_in_the_environment_brings_its_provider(key: str, provider: str) -> None:
    registry = Registry.from_environment({key: "k"})
    try:
        assert list(registry.providers) == [provider]
        assert registry.state(provider) == "ready"
        assert registry.choose(None, None)[0].id == provider
    finally:
        await registry.aclose()


def test_a_usual_model_whose_name_says_its_window_has_it() -> None:
    windows = {model.id: model.context for usual in USUAL for model in usual.models}
    for id, context in windows.items():
        if named := re.search(r"-(\d+)k$", id, re.IGNORECASE):
            assert context == int(named[1]) * 1024, id
    assert sum(1 for id in windows if re.search(r"-\d+k$", id, re.IGNORECASE)) == 5


def test_spark_wants_all_three_of_its_keys() -> None:
    keys = {"SPARK_APP_ID": "a", "SPARK_API_KEY": "b", "SPARK_API_SECRET": "c"}
    assert [declaration.id for declaration in usual_declarations(keys)] == ["spark"]
    assert usual_declarations({"SPARK_APP_ID": "a", "SPARK_API_KEY": "b"}) == []
