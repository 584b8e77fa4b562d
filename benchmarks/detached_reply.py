"""Asks for a reply whose events are read elsewhere: the answer is its id, at once."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httptools
import msgspec

from benchmarks import sse_client


class Refused(Exception):
    """What the server answered instead."""


class _Accepted(msgspec.Struct):
    generation: str


async def start(url: str, body: bytes, headers: dict[str, str]) -> str:
    """Raises Refused, OSError."""
    answer = await post(url, body, {**headers, "Prefer": "respond-async"})
    try:
        return msgspec.json.decode(answer, type=_Accepted).generation
    except msgspec.DecodeError:
        raise Refused("the answer has no generation") from None


async def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The answer's body, over a connection of its own. Raises Refused, OSError."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(sse_client.request(address.netloc, address.path, body, {**headers, "Connection": "close"}))
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        parser.feed_data(await reader.read())
    finally:
        writer.close()
    status = parser.get_status_code()
    if status not in (200, 202):
        raise Refused(f"status {status}: {bytes(answer.body[:200])!r}")
    return bytes(answer.body)


class _Answer:
    """Takes httptools' callbacks."""

    def __init__(self) -> None:
        self.body = bytearray()

    def on_body(self, data: bytes) -> None:
        self.body += data
