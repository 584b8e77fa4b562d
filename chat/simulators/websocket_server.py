"""A WebSocket server for simulated upstreams: one question a connection, one task a question.

It notices at once that a client has left, also while nothing is being sent; then the question's task is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import logging
import socket
import struct
import time
from abc import abstractmethod
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chat.simulators.base import ConnectionRecord, Simulator

MAX_QUESTION = 8 << 20
"""Bytes: a question with a picture in Base64 passes."""

BACKLOG = 1024
"""Connections that may wait to be accepted: load tests open hundreds at once."""


class WebSocketSimulator(Simulator):
    """`path`: where it listens, as its `url` says; it serves every other as well."""

    path = "/"

    def __init__(self) -> None:
        super().__init__()
        self._server: Server | None = None
        self._logger = logging.getLogger(f"{__name__}.websockets")
        self._logger.setLevel(logging.CRITICAL)

    @property
    def url(self) -> str:
        assert self._server is not None, "the server has not been started"
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"ws://{host}:{port}{self.path}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self.check,
            compression=None,
            max_size=MAX_QUESTION,
            logger=self._logger,
            close_timeout=0.5,
            backlog=BACKLOG,
        )

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @abstractmethod
    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        """The gateway's answer before the upgrade, or None to let it pass."""

    @abstractmethod
    async def answer(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        """One question; when this returns, it is left to the client to close."""

    async def _serve(self, connection: ServerConnection) -> None:
        record = ConnectionRecord()
        self.connections.append(record)
        # Whoever leaves in the middle is noticed at once, also while nothing is being sent.
        speaking = asyncio.create_task(self._speak(connection, record))
        leaving = asyncio.create_task(connection.wait_closed())
        try:
            await asyncio.wait([speaking, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)
            with contextlib.suppress(ConnectionClosed):
                await connection.close()
            record.closed = time.monotonic()

    async def _speak(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        await self.answer(connection, record)
        await connection.wait_closed()


def refusal(status: HTTPStatus, body: object) -> Response:
    """In place of the upgrade: JSON, and the date as servers give it."""
    encoded = json.dumps(body).encode()
    headers = Headers(
        {
            "Date": email.utils.formatdate(usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(len(encoded)),
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, encoded)


def reset(connection: ServerConnection) -> None:
    """Ends the connection as a crashed machine does: by RST, not by FIN."""
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()
