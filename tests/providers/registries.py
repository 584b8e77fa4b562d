"""Providers files for tests, and the registries that are made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from chat.providers.registry import Registry

WHOLE = """
[providers.deepseek]
kind     = "openai_chat"
label    = "DeepSeek"
base_url = "https://api.deepseek.com/v1"
api_key  = "env:DEEPSEEK_API_KEY"
models   = ["deepseek-chat", { id = "deepseek-reasoner", label = "Reasoner", reasoning = true, vision = false }]
fallback = ["spark"]
timeout  = { connect = 5, first_token = 12.5, idle = 31, total = 90 }
retries  = 1
stop_mark = "required"

[providers.spark]
kind     = "spark"
base_url = "wss://spark-api.xf-yun.com/v3.5/chat"
app_id   = "env:SPARK_APP_ID"
api_key  = "env:SPARK_API_KEY"
api_secret = "env:SPARK_API_SECRET"
models   = ["generalv3.5"]
"""
KEYS = {
    "DEEPSEEK_API_KEY": "sk-very-secret",
    "SPARK_APP_ID": "a1b2c3d4",
    "SPARK_API_KEY": "spark-very-secret",
    "SPARK_API_SECRET": "spark-most-secret",
}
ONE = """
[providers.one]
kind = "openai_chat"
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
models = ["m"]
"""


@asynccontextmanager
async def registry_of(path: Path, text: str, environment: Mapping[str, str] = KEYS) -> AsyncIterator[Registry]:
    file = path / "providers.toml"
    file.write_text(text)
    registry = Registry.from_file(str(file), environment)
    try:
        yield registry
    finally:
        await registry.aclose()
