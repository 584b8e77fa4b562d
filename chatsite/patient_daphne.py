"""Daphne, with what it lacks for streams: it waits for slow clients, bounds what clients send, and starts and drains.

Daphne writes whatever the application gives it into the connection's buffer. Here `send` waits while that buffer is
full, as it does under other servers: a client that does not read then costs one buffer, not the rest of the stream.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from chat import runtime
from chatsite.asgi import settle_garbage_collector

STANDARD_CODES = range(1001, 1015)


@implementer(IPushProducer)
class _Brake:
    """Told by the connection when its buffer is full (64 KiB) and when it has room again."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self.room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self.room.set()

    stopProducing = resumeProducing


class _BoundedQueue:
    """A client's frames on their way to the application: one that sends faster than it is served is cut off."""

    def __init__(self, queue: asyncio.Queue[dict[str, Any]], limit: int | None, overflow: Any) -> None:
        self._queue = queue
        self._limit = limit
        self._overflow = overflow

    def put_nowait(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.receive" and self._limit is not None and self._queue.qsize() >= self._limit:
            self._overflow()
        else:
            self._queue.put_nowait(message)


class PatientServer(Server):  # type: ignore[misc]
    def __init__(self, application: Any, **options: Any) -> None:
        self._application = application
        super().__init__(self._watch_over, signal_handlers=False, **options)
        self._brakes: dict[Any, _Brake] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # Slow clients

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        queue = super().create_application(protocol, {**scope, "daphne.protocol": protocol})
        if queue is None or scope["type"] != "websocket":
            return queue
        return _BoundedQueue(queue, settings.CHAT_FRAMES_WAITING, lambda: protocol.dropConnection(abort=True))

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if protocol not in self._brakes and message["type"] in ("websocket.accept", "http.response.body"):
            self._brakes[protocol] = self._brake(protocol)
        if message["type"] == "websocket.close" and message.get("code", 1000) in STANDARD_CODES:
            # autobahn's public call takes no standard code but 1000.
            protocol.sendCloseFrame(code=message["code"], isReply=False)
            return
        if message["type"] == "websocket.send":
            await self._send_frame(protocol, message)
        else:
            await super().handle_reply(protocol, message)
        brake = self._brakes.get(protocol)
        if brake is not None and not brake.room.is_set():
            await brake.room.wait()

    async def _send_frame(self, protocol: Any, message: dict[str, Any]) -> None:
        """The limit on frames is for clients; autobahn would silently drop a long reply of ours by it."""
        limit, protocol.maxMessagePayloadSize = protocol.maxMessagePayloadSize, 0
        try:
            await super().handle_reply(protocol, message)
        finally:
            protocol.maxMessagePayloadSize = limit

    def protocol_disconnected(self, protocol: Any) -> None:
        super().protocol_disconnected(protocol)
        brake = self._brakes.pop(protocol, None)
        if brake is not None:
            brake.room.set()

    def _brake(self, protocol: Any) -> _Brake:
        brake = _Brake()
        if isinstance(protocol, WebRequest):
            if protocol.channel is not None:
                protocol.registerProducer(brake, True)
        else:
            # The HTTP channel that the socket grew out of is still registered.
            protocol.transport.unregisterProducer()
            protocol.transport.registerProducer(brake, True)
        return brake

    async def _watch_over(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """An application that ends in the middle of its answer has dropped its client: so is the connection."""
        finished = False

        async def note(message: dict[str, Any]) -> None:
            nonlocal finished
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                finished = True
                protocol = scope["daphne.protocol"]
                if protocol in self._brakes and protocol.producer is not None:
                    protocol.unregisterProducer()
            await send(message)

        await self._application(scope, receive, note)
        if scope["type"] == "http" and not finished:
            protocol = scope["daphne.protocol"]
            if protocol.channel is not None:
                protocol.channel.forceAbortClient()

    # Start and end

    def run(self) -> None:
        loop = reactor._asyncioEventloop
        loop.call_soon(self._own, self._start())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        super().run()

    async def _start(self) -> None:
        await runtime.current().start()
        settle_garbage_collector()

    def _end(self) -> None:
        """The first signal drains, the second one ends at once."""
        if any(task.get_name() == "drain" for task in self._tasks):
            self.stop()
        else:
            self._own(self._drain(), "drain")

    async def _drain(self) -> None:
        try:
            await runtime.current().drain()
            await runtime.current().close()
        finally:
            self.stop()

    def _own(self, work: Any, name: str = "start") -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
