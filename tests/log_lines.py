"""What a server process has written to its log, line by line."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.chat_server import ChatServer

PATIENCE = 30.0
"""Seconds until a test gives a line up: one of a request comes after its response."""


def lines(server: ChatServer, event: str, **fields: Any) -> list[dict[str, Any]]:
    """Those of an event that have these fields. With LOG_FORMAT=json."""
    found = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event and fields.items() <= line.items()]


async def line(server: ChatServer, event: str, **fields: Any) -> dict[str, Any]:
    """Waits for it; there is one."""
    deadline = time.monotonic() + PATIENCE
    while not (found := lines(server, event, **fields)):
        assert time.monotonic() < deadline, server.log()
        await asyncio.sleep(0.02)
    [one] = found
    return one
