"""What Gemini says in a test, and what the adapter makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import UpstreamError
from chat.providers.base import ChatRequest, Profile, Turn
from chat.providers.gemini import Gemini
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, Reply, read
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream

ASKED = Turn("user", "One?")


def gemini_for(url: str, client: AsyncBaseTransport, **options: Any) -> Gemini:
    return Gemini(
        Profile("gemini", "Gemini", MODELS, TIMEOUTS, 0), base_url=url, api_key=API_KEY, http=client, **options
    )


def block(value: object) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n".encode()


def chunk(text: str | None, reason: str | None = None, **fields: Any) -> bytes:
    candidate: dict[str, Any] = {} if text is None else {"content": {"parts": [{"text": text}], "role": "model"}}
    if reason is not None:
        candidate["finishReason"] = reason
    return block({"candidates": [candidate], **fields})


async def play(client: AsyncBaseTransport, *pieces: bytes, reply: Reply | None = None) -> Reply:
    async with RawUpstream(STREAM_HEAD, *pieces) as upstream:
        return await read(gemini_for(upstream.url, client), ChatRequest("demo", (ASKED,)), reply)


async def fail(client: AsyncBaseTransport, *pieces: bytes, said: str = "") -> UpstreamError:
    """The failure of what must fail, after just these words."""
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await play(client, *pieces, reply=reply)
    assert (reply.text, reply.finishes) == (said, [])
    assert failure.value.details.keys() <= {"provider", "cause"}
    return failure.value
