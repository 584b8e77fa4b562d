"""What stands between people and the server: a proxy as it should be, and with what goes wrong in proxies."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable


class PublicProxy:
    """`url` is its address. One request a connection, but for WebSockets."""

    def __init__(
        self,
        upstream: int,
        *,
        buffers: bool = False,
        upgrades: bool = True,
        keeps_host: bool = True,
        changed: Callable[[bytes], bytes] = bytes,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """To the port `upstream`. `buffers`: reads the whole answer before it passes it on. `changed` is what becomes
        of each piece of an answer."""
        self._upstream = upstream
        self._buffers = buffers
        self._upgrades = upgrades
        self._keeps_host = keeps_host
        self._changed = changed
        self._tls = tls
        self._serving: set[asyncio.Task[None]] = set()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[PublicProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            upgrade = re.search(rb"(?i)\r\nupgrade: *websocket", head) is not None
            if upgrade and not self._upgrades:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            if not upgrade:
                head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)[:-2] + b"Connection: close\r\n\r\n"
            if not self._keeps_host:
                head = re.sub(rb"(?i)\r\nhost: [^\r]*", b"\r\nHost: localhost", head)
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
            with contextlib.closing(to_server):
                to_server.write(head)
                # What the client sends further on is a WebSocket's.
                sending = asyncio.create_task(self._pass_on(reader, to_server, bytes))
                await self._answer(from_server, writer)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._buffers:
            writer.write(self._changed(await reader.read()))
            await writer.drain()
        else:
            await self._pass_on(reader, writer, self._changed)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, changed: Callable[[bytes], bytes]
    ) -> None:
        while piece := await reader.read(65536):
            writer.write(changed(piece))
            await writer.drain()
