"""One connection to one Redis server: packed commands in, replies in their order. Nothing here waits or retries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from chat.redis.address import Node, RedisAddress
from chat.redis.resp import Argument, pack

REPLY_CHECKS = 20
"""A server that has owed a reply at so many checks is gone, whatever its connection says. Counted, not timed: a process
that was stopped for a while finds the reply there when it goes on."""

BACKLOG_BYTES = 64 << 20
"""Commands that the system has not taken: more, and the server is gone."""

Replies = list[Any]


class LinkLost(Exception):
    """The connection ended before the reply came: whether the command was obeyed is not known."""


class _Batch:
    __slots__ = ("count", "replied", "replies")

    def __init__(self, count: int, replied: Callable[[Replies | None], None]) -> None:
        self.count = count
        self.replies: Replies = []
        self.replied = replied


class Link(asyncio.Protocol):
    """`await Link.open(...)`; `lost` is called once when it ends, whoever ended it."""

    def __init__(self, lost: Callable[[Link], None]) -> None:
        self._lost = lost
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._batches: deque[_Batch] = deque()
        self._transport: asyncio.Transport | None = None
        self._owed_at_checks = 0
        self.is_open = False

    @classmethod
    async def open(cls, address: RedisAddress, node: Node, lost: Callable[[Link], None], timeout: float) -> Link:
        """Connected and signed in. Raises OSError, TimeoutError, LinkLost, ReplyError."""
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            tls = address.tls_context()
            link: Link
            if node.port:
                host_name = node.host if tls is not None else None
                _, link = await loop.create_connection(
                    lambda: cls(lost), node.host, node.port, ssl=tls, server_hostname=host_name
                )
            else:
                _, link = await loop.create_unix_connection(lambda: cls(lost), node.host)
            try:
                await link._sign_in(address)
            except BaseException:
                link.close()
                raise
            return link

    async def _sign_in(self, address: RedisAddress) -> None:
        credentials = ("AUTH", address.username or "default", address.secret) if address.secret else ()
        await self.call("HELLO", 3, *credentials, "SETNAME", "chat")
        if address.database:
            await self.call("SELECT", address.database)

    # Commands

    def write(self, commands: bytes, count: int, replied: Callable[[Replies | None], None]) -> None:
        """`replied` gets the replies of these `count` packed commands, errors as ReplyError values among them; or None
        when the connection ends first. It is called in the event loop, never from within `write`."""
        assert self._transport is not None, "it is open"
        assert count, "a reply is what ends a batch"
        self._batches.append(_Batch(count, replied))
        self._transport.write(commands)
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES:
            self.close()

    async def call(self, *arguments: Argument) -> Any:
        """One command's reply. Raises ReplyError, LinkLost."""
        return (await self.call_all(pack(*arguments), 1))[0]

    async def call_all(self, commands: bytes, count: int) -> Replies:
        """Raises the first ReplyError among the replies, LinkLost."""
        replies = await self.replies(commands, count)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies

    async def replies(self, commands: bytes, count: int) -> Replies:
        """The same with the errors among the replies. Raises LinkLost."""
        if not self.is_open:
            raise LinkLost
        future: asyncio.Future[Replies | None] = asyncio.get_running_loop().create_future()
        self.write(commands, count, lambda replies: None if future.done() else future.set_result(replies))
        replies = await future
        if replies is None:
            raise LinkLost
        return replies

    @property
    def is_behind(self) -> bool:
        """The system has not taken what it was given: more can wait."""
        return self._transport is not None and self._transport.get_write_buffer_size() > BACKLOG_BYTES // 4

    def check(self) -> None:
        """Ends it where the server has owed a reply for too long; called about every quarter of a second."""
        self._owed_at_checks = self._owed_at_checks + 1 if self._batches else 0
        if self._owed_at_checks > REPLY_CHECKS:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        reader, batches = self._reader, self._batches
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                if not batches:
                    continue  # a push, which nobody asked for
                batch = batches[0]
                batch.replies.append(reply)
                if len(batch.replies) == batch.count:
                    batches.popleft()
                    batch.replied(batch.replies)
        except hiredis.ProtocolError:
            self.close()
            return
        self._owed_at_checks = 0

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        batches, self._batches = self._batches, deque()
        self._lost(self)
        for batch in batches:
            batch.replied(None)


class ReplyError(Exception):
    """What the server refused: its words begin with a code, such as MOVED or OOM."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]
