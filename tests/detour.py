"""What stands between a server and what it connects to, and can be slow, or cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest_asyncio


class Detour:
    """Holds each request back for `delay` seconds. `cut` ends every connection and refuses more, until `mend`.

    `carried`: bytes of answers since then.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.carried = 0
        self._there = ("", 0)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, url: str) -> str:
        """The address to use in the place of `url`."""
        there = urlsplit(url)
        assert there.hostname is not None
        assert there.port is not None
        self._there = (there.hostname, there.port)
        await self.mend()
        user, at, _host = there.netloc.rpartition("@")
        return there._replace(netloc=f"{user}{at}127.0.0.1:{self._port}").geturl()

    async def mend(self) -> None:
        self.carried = 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            answers, requests = await asyncio.open_connection(*self._there)
            ends.append(requests)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, requests, held_back=True))
                group.create_task(self._pump(answers, writer, held_back=False))
        except* OSError:
            pass
        finally:
            for one in ends:
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, held_back: bool) -> None:
        while piece := await source.read(1 << 16):
            if held_back:
                await asyncio.sleep(self.delay)
            else:
                self.carried += len(piece)
            sink.write(piece)
            await sink.drain()
        sink.close()


@pytest_asyncio.fixture
async def detour() -> AsyncIterator[Detour]:
    detour = Detour()
    yield detour
    await detour.cut()
