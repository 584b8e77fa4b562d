"""The ASGI application: pages, the API and its streams, the WebSocket; and the process's start and end."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")

from channels.routing import URLRouter
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from chat import runtime
from chat.api.handler import ApiHandler
from chat.websocket.routing import websocket_urlpatterns
from chatsite.draining import drain_on_sigterm
from chatsite.request_log import logged
from chatsite.uvicorn_writes import cut_unfinished, shortened

api = ApiHandler()
sockets = URLRouter(websocket_urlpatterns)

API_PREFIXES = ("/api/", "/v1/", "/healthz", "/readyz", "/metrics")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await logged(route_socket, scope, receive, shortened(send))
    elif scope["path"].startswith(API_PREFIXES):
        send = shortened(send)
        try:
            await logged(route_api, scope, receive, send)
        finally:
            cut_unfinished(send)
    else:
        await logged(route_page, scope, receive, send)


async def route_api(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["path"] != "/healthz":
        await have_started()
    await api(scope, receive, send)


async def route_page(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await have_started()
    await pages(scope, receive, cast(Any, send))  # Django types it by its own protocol


async def route_socket(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await have_started()
    try:
        await sockets(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await send({"type": "websocket.close", "code": 4404})


async def have_started() -> None:
    """Where the server knows no lifespan, the first request starts the runtime."""
    if not runtime.current().started:
        await runtime.current().start()


async def lifespan(receive: Receive, send: Send) -> None:
    """For servers that know it."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await runtime.current().start()
            drain_on_sigterm(asyncio.get_running_loop())
            settle_garbage_collector()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await runtime.current().close()
            await send({"type": "lifespan.shutdown.complete"})
            return


def settle_garbage_collector() -> None:
    """What the start has made lives as long as the process: the collector need not look at it again. It comes at
    100,000 new objects: the 130 or so of a live reply go by themselves when that is over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
