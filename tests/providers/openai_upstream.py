"""What an OpenAI-like upstream says in a test, and what the adapter makes of it."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from httpx import AsyncBaseTransport

from chat.errors import UpstreamError
from chat.providers.base import Profile
from chat.providers.openai_chat import OpenAIChat
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, Reply, question, read
from tests.providers.raw_upstream import STREAM_HEAD, End, RawUpstream

DONE = "data: [DONE]\n\n"
STOPPED: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def block(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def delta(text: str, **fields: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **fields}]}


def answer(*blocks: str) -> bytes:
    return STREAM_HEAD + "".join(blocks).encode("utf-8", "surrogatepass")


async def play(
    client: AsyncBaseTransport,
    *pieces: bytes,
    end: End = "close",
    stop_mark: Literal["optional", "required"] = "optional",
    reply: Reply | None = None,
) -> Reply:
    async with RawUpstream(*pieces, end=end) as upstream:
        provider = OpenAIChat(
            Profile("raw", "Raw", MODELS, TIMEOUTS, 0), base_url=upstream.url, api_key=API_KEY, stop_mark=stop_mark,
            http=client,
        )  # fmt: skip
        return await read(provider, question("demo"), reply)


async def fail(client: AsyncBaseTransport, *pieces: bytes, said: str = "", **options: Any) -> UpstreamError:
    """The failure of what must fail, after just these words."""
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, *pieces, reply=reply, **options)
    assert reply.text == said
    assert reply.finishes == []
    assert failure.value.details.keys() <= {"provider", "status", "cause", "connection"}
    return failure.value
