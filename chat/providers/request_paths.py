"""What the kinds of upstreams add to the path of their address."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from chat.providers.baidu_agents import PATH as AGENTS_PATH
from chat.providers.dashscope import TEXT_PATH
from chat.providers.qianfan_v1 import CHAT_PATH

ADDED: Mapping[str, str] = {
    "anthropic": "/messages",
    "baidu_agents": AGENTS_PATH,
    "dashscope": TEXT_PATH,
    "ollama": "/api/chat",
    "openai_chat": "/chat/completions",
    "openai_responses": "/responses",
    "qianfan_v1": CHAT_PATH.rstrip("/"),
}
"""By kind; the others ask what they are given, or what depends on the question."""


def added_already(kind: str, base_url: str) -> str:
    """What the kind would add, where an address ends with it already; else ""."""
    added = ADDED.get(kind, "")
    return added if added and base_url.rstrip("/").lower().endswith(added) else ""


def asked_path(kind: str, base_url: str) -> str:
    """Which path is asked, without a query."""
    root = urlsplit(base_url).path.rstrip("/")
    if kind == "ollama":
        root = root.removesuffix("/api")
    return root + ADDED.get(kind, "") or "/"
