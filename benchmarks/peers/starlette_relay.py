"""What one would write without this project: Starlette and httpx, an event in, an event out.

It parses each upstream event, keeps the text, and ends with an event that repeats it, as this project's server does. It
signs nobody in and stores nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

UPSTREAM = os.environ["UPSTREAM_URL"]


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None)  # httpx's own limit would keep the 101st stream waiting
    # Made by httpx itself: it reads SSL_CERT_FILE, which a client without `trust_env` (for proxies) would not.
    tls = httpx.create_ssl_context()
    async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False, verify=tls) as client:
        app.state.client = client
        yield


async def chat(request: Request) -> StreamingResponse:
    return StreamingResponse(_events(request.app.state.client, await request.json()), media_type="text/event-stream")


async def _events(client: httpx.AsyncClient, asked: dict[str, str]) -> AsyncIterator[str]:
    body = {
        "model": asked["model"],
        "messages": [{"role": "user", "content": asked["message"]}],
        "stream": True,
    }
    reply: list[str] = []
    async with client.stream("POST", f"{UPSTREAM}/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                continue  # what follows is the end: read, the connection can be used again
            for choice in json.loads(data)["choices"]:
                if text := choice["delta"].get("content"):
                    reply.append(text)
                    yield _event({"delta": text, "isFinal": False})
    yield _event({"delta": "", "isFinal": True, "text": "".join(reply)})


def _event(data: dict[str, object]) -> str:
    return f"event: message\ndata: {json.dumps(data)}\n\n"


app = Starlette(routes=[Route("/chat", chat, methods=["POST"])], lifespan=lifespan)
