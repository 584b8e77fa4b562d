"""The providers that appear by themselves, where their usual keys are in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chat.providers.base import Model, Profile
from chat.providers.declaration import Declaration, Secret


class _Usual(NamedTuple):
    """`secrets`: the constructor's names, and the environment's."""

    id: str
    kind: str
    label: str
    base_url: str
    secrets: Mapping[str, str]
    models: tuple[Model, ...]


def _models(*ids: str) -> tuple[Model, ...]:
    return tuple(Model(id, id) for id in ids)


USUAL: tuple[_Usual, ...] = (
    _Usual(
        "openai",
        "openai_chat",
        "OpenAI",
        "https://api.openai.com/v1",
        {"api_key": "OPENAI_API_KEY"},
        tuple(Model(name, name, vision=True, context=128_000) for name in ("gpt-4o-mini", "gpt-4o")),
    ),
    _Usual(
        "anthropic",
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com/v1",
        {"api_key": "ANTHROPIC_API_KEY"},
        (
            Model("claude-sonnet-5", "Claude Sonnet 5", vision=True, context=200_000),
            Model("claude-opus-5", "Claude Opus 5", vision=True, context=200_000),
            Model("claude-haiku-4-5", "Claude Haiku 4.5", vision=True, context=200_000),
        ),
    ),
    _Usual(
        "gemini",
        "gemini",
        "Gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        {"api_key": "GEMINI_API_KEY"},
        (
            Model("gemini-flash-latest", "Gemini Flash", vision=True, context=1_000_000),
            Model("gemini-pro-latest", "Gemini Pro", vision=True, context=1_000_000),
        ),
    ),
    _Usual(
        "deepseek",
        "openai_chat",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        {"api_key": "DEEPSEEK_API_KEY"},
        tuple(
            Model(name, name, reasoning=True, context=1_000_000) for name in ("deepseek-v4-flash", "deepseek-v4-pro")
        ),
    ),
    _Usual(
        "qwen",
        "openai_chat",
        "Qwen",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        {"api_key": "DASHSCOPE_API_KEY"},
        _models("qwen-plus", "qwen-max"),
    ),
    _Usual(
        "moonshot",
        "openai_chat",
        "Moonshot",
        "https://api.moonshot.cn/v1",
        {"api_key": "MOONSHOT_API_KEY"},
        (Model("moonshot-v1-8k", "moonshot-v1-8k", context=8192),),
    ),
    _Usual(
        "glm",
        "openai_chat",
        "GLM",
        "https://open.bigmodel.cn/api/paas/v4",
        {"api_key": "ZHIPUAI_API_KEY"},
        _models("glm-4-flash", "glm-4-plus"),
    ),
    _Usual(
        "spark",
        "spark",
        "Spark",
        "wss://spark-api.xf-yun.com/v3.5/chat",
        {"app_id": "SPARK_APP_ID", "api_key": "SPARK_API_KEY", "api_secret": "SPARK_API_SECRET"},
        (Model("generalv3.5", "Spark Max"),),
    ),
    _Usual(
        "qianfan-v2",
        "openai_chat",
        "Qianfan",
        "https://qianfan.baidubce.com/v2",
        {"api_key": "QIANFAN_API_KEY"},
        (
            Model("ernie-4.5-turbo-128k", "ernie-4.5-turbo-128k", context=131_072),
            Model("ernie-x1-turbo-32k", "ernie-x1-turbo-32k", context=32_768),
        ),
    ),
    _Usual(
        "qianfan",
        "qianfan_v1",
        "ERNIE",
        "https://aip.baidubce.com",
        {"api_key": "QIANFAN_AK", "api_secret": "QIANFAN_SK"},
        (
            Model("ERNIE-4.0-Turbo-8K", "ERNIE-4.0-Turbo-8K", context=8192),
            Model("ERNIE-Speed-128K", "ERNIE-Speed-128K", context=131_072),
        ),
    ),
    # Its cloud. OLLAMA_HOST is no key: it says where a server of one's own listens, and not which models it has.
    _Usual(
        "ollama",
        "ollama",
        "Ollama",
        "https://ollama.com",
        {"api_key": "OLLAMA_API_KEY"},
        _models("gpt-oss:120b", "gpt-oss:20b"),
    ),
)


def usual_declarations(environment: Mapping[str, str]) -> list[Declaration]:
    """Of those whose keys are all there."""
    return [
        Declaration(
            usual.kind,
            Profile(usual.id, usual.label, usual.models),
            usual.base_url,
            {name: (Secret(f"env:{key}"),) for name, key in usual.secrets.items()},
        )
        for usual in USUAL
        if all(environment.get(key) for key in usual.secrets.values())
    ]
