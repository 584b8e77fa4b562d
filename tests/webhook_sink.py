"""Who receives webhooks: a server that answers as it is told, and checks each signature as the standard says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections import deque
from typing import Any, NamedTuple

REASONS = {200: "OK", 204: "No Content", 307: "Temporary Redirect", 410: "Gone", 500: "Internal Server Error"}


class Received(NamedTuple):
    """`headers` by their names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Standard Webhooks 1.0.0: HMAC-SHA256 of id, timestamp and body, with the secret's Base64 as the key."""
        key = base64.b64decode(secret.split("_", 1)[1])
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{expected}"


class WebhookSink:
    """`answers`: what the next requests get, in this order: a status, `hang`, `huge` (200, and a body without an end)
    or `garbage`; then 200 for all. A redirect leads back here."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[int | str] = deque()
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, number: int, seconds: float = 20) -> list[Received]:
        """Once so many requests have come."""
        async with self._arrived, asyncio.timeout(seconds):
            await self._arrived.wait_for(lambda: len(self.received) >= number)
        return list(self.received)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            async with self._arrived:
                self.received.append(Received(first.split()[1], headers, body))
                self._arrived.notify_all()
            await self._answer(writer, self.answers.popleft() if self.answers else 200)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever hangs up has not asked
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, answer: int | str) -> None:
        match answer:
            case "hang":
                await asyncio.sleep(3600)
            case "garbage":
                writer.write(b"this is no HTTP\r\n\r\n")
            case "huge":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                    await writer.drain()
            case int(status):
                location = f"Location: {self.url}/elsewhere\r\n" if status == 307 else ""
                writer.write(f"HTTP/1.1 {status} {REASONS[status]}\r\n{location}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
