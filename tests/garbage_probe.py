"""The application, and at `/garbage` what of it only the cyclic garbage collector would free."""

from __future__ import annotations

import gc
import json
from collections import Counter
from typing import Any

from chatsite.asgi import Receive, Send
from chatsite.asgi import application as chat_application


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope.get("path") != "/garbage":
        await chat_application(scope, receive, send)
        return
    body = json.dumps(_unreachable()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _unreachable() -> dict[str, int]:
    """Objects of this project's classes that are garbage and yet there, by class; then they are gone. From the first
    call on, the collector runs here only."""
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    kinds = [type(one) for one in gc.garbage]
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if kind.__module__.startswith("chat"))
