"""What Anthropic says in a test, and what the adapter makes of it."""

from __future__ import annotations

from typing import Any

from httpx import AsyncBaseTransport

from chat.providers.anthropic import Anthropic
from chat.providers.base import ChatRequest, Model, Profile, Turn
from tests.providers.conftest import API_KEY, MODELS, TIMEOUTS, Reply, read
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.upstreams.anthropic import event

ASKED = Turn("user", "One?")


def anthropic_for(url: str, client: AsyncBaseTransport, *models: str, **options: Any) -> Anthropic:
    known = tuple(Model(model, model) for model in models) or MODELS
    profile = Profile("anthropic", "Anthropic", known, TIMEOUTS, 0)
    return Anthropic(profile, base_url=url, api_key=API_KEY, http=client, **options)


def said(text: str) -> bytes:
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def stopped(reason: str | None, **usage: int) -> bytes:
    return event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage})


STOPPED = stopped("end_turn")
ENDED = event({"type": "message_stop"})
REPLY = said("Hi") + STOPPED + ENDED


async def play(
    client: AsyncBaseTransport, *pieces: bytes, turns: tuple[Turn, ...] = (ASKED,), reply: Reply | None = None
) -> Reply:
    async with RawUpstream(STREAM_HEAD, *pieces) as upstream:
        return await read(anthropic_for(upstream.url, client), ChatRequest("demo", turns), reply)
