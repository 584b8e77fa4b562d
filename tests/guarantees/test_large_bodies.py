"""A body above the limit is refused while it comes, however it announces itself; the server goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

PIECE = b"x" * 16 * 1024


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield PIECE


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_a_body_above_the_limit_is_refused_and_the_next_one_taken(serve: Callable[..., Any], server: str) -> None:
    chat_server = await serve("tokens-3-0", server=server, CHAT_BODY_BYTES="64KiB")
    headers = {"Content-Type": "application/json", "Accept-Language": "zh-CN"}
    async with await chat_server.client() as client:
        announced = await client.post("/chat", content=PIECE * 5, headers=headers)
        unannounced = await client.post("/chat", content=pieces(5), headers=headers)
        assert "content-length" not in unannounced.request.headers
        for refused in (announced, unannounced):
            assert refused.status_code == 413
            assert refused.json()["code"] == "TOO_LARGE"
            assert refused.json()["error"] == "请求过大。"
        message = {"message": "hello", "model": "tokens-3-0", "provider": "sse"}
        accept = {"Accept": "application/json"}
        taken = await client.post("/chat", json=message, headers=accept)
        assert taken.status_code == 200, taken.text
