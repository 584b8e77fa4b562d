"""Counting in Redis, for all workers together: one script for each window and one for the places of a user, sent in
one write and answered in one round trip. Windows and places are sorted sets of entries by time, Redis's own.

A Redis that is away or slow holds nobody up for longer than REPLY_SECONDS: then this process's memory counts, until
Redis answers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from chat.redis.address import RedisAddress
from chat.redis.link import Link, LinkLost, Replies, ReplyError
from chat.redis.nodes import WRONG_SERVER, Nodes, slot_of
from chat.redis.resp import pack
from chat.services.limit_storage import LimitStorage, Places, Taken
from chat.services.memory_limits import MemoryLimits
from chat.services.rates import Count, Window

logger = logging.getLogger(__name__)

REPLY_SECONDS = 0.25
"""What a request waits for Redis at most: a round trip takes a thousandth of it."""

PAUSE_SECONDS = 1.0
"""After a failure, for so long, Redis is not asked: a hundred requests do not each wait for it."""

PLACE_SECONDS = 15
"""How long a place is kept without a renewal: its worker is dead then, and its replies are ended."""

_NOW = b"local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000) "

TAKE = (
    _NOW
    + b"""
local most, span = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - span)
local count, taken = redis.call('ZCARD', KEYS[1]), 0
if count < most then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], span)
  count, taken = count + 1, 1
end
local first = math.max(0, count - most)
local oldest = redis.call('ZRANGE', KEYS[1], first, first, 'WITHSCORES')[2] or now
return {taken, math.max(0, most - count), oldest + span - now}
"""
)
"""Most, milliseconds, entry → whether it was taken, how many remain, milliseconds until there is room for one more."""

PLACE = (
    _NOW
    + b"""
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
"""Most, milliseconds, entry → whether there was a place, which is now its own."""

HOLD = (
    _NOW
    + b"""
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[index]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)
"""Milliseconds, members: each keeps its place, or has one now."""

Command = tuple[int, bytes]
"""The slot of its key, and the packed command."""


class RedisLimits(LimitStorage):
    """`prefix` begins all keys; `memory` counts meanwhile."""

    shared = True

    def __init__(self, address: RedisAddress, prefix: str, memory: MemoryLimits) -> None:
        self._prefix = prefix
        self._memory = memory
        self._nodes = Nodes(address, ready=lambda: None, lost=lambda link: None)
        self._asked_again_at = 0.0
        self._missed = False

    async def open(self) -> None:
        await self._nodes.open()

    async def take(self, entry: str, windows: Sequence[Window], places: Places | None = None) -> Taken:
        commands = [self._take(entry, window) for window in windows]
        if places is not None:
            arguments = (places.most, PLACE_SECONDS * 1000, entry)
            commands.append(self._script(PLACE, self._places(places.user), *arguments))
        if not commands:
            return Taken([], True)
        replies = await self._ask(commands)
        if replies is None:
            return await self._memory.take(entry, windows)
        counts = [
            Count(bool(taken), window.rate.amount, remaining, reset / 1000)
            for window, (taken, remaining, reset) in zip(windows, replies, strict=False)
        ]
        return Taken(counts, places is None or bool(replies[-1]))

    def give_back(self, entry: str, windows: Sequence[Window]) -> None:
        self._memory.give_back(entry, windows)
        self._tell([self._remove(self._window(window), entry) for window in windows])

    def hold(self, user: str, generation: str) -> None:
        self._tell([self._hold(user, [generation])])

    def release(self, user: str, member: str) -> None:
        self._tell([self._remove(self._places(user), member)])

    def renew(self, generations: Mapping[str, str]) -> None:
        held: defaultdict[str, list[str]] = defaultdict(list)
        for generation, user in generations.items():
            held[user].append(generation)
        self._tell([self._hold(user, members) for user, members in held.items()])

    def look(self) -> None:
        self._nodes.check()

    async def aclose(self) -> None:
        await self._nodes.aclose()

    # Commands

    def _window(self, window: Window) -> bytes:
        return f"{self._prefix}:limit:{{{window.owner}}}:{window.name}".encode()

    def _places(self, user: str) -> bytes:
        return f"{self._prefix}:limit:{{{user}}}:places".encode()

    def _take(self, entry: str, window: Window) -> Command:
        return self._script(TAKE, self._window(window), window.rate.amount, window.rate.seconds * 1000, entry)

    def _hold(self, user: str, members: Sequence[str]) -> Command:
        return self._script(HOLD, self._places(user), PLACE_SECONDS * 1000, *members)

    def _script(self, script: bytes, key: bytes, *arguments: int | str) -> Command:
        return slot_of(key), pack("EVAL", script, 1, key, *arguments)

    def _remove(self, key: bytes, member: str) -> Command:
        return slot_of(key), pack("ZREM", key, member)

    # The way to Redis

    async def _ask(self, commands: Sequence[Command]) -> Replies | None:
        """The replies in the order of the commands; None where Redis does not give them in time."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._asked_again_at:
            return None
        try:
            links = [self._link(slot) for slot, _packed in commands]
            async with asyncio.timeout(REPLY_SECONDS):
                replies = await _replies(links, [packed for _slot, packed in commands])
        except (TimeoutError, LinkLost, ReplyError) as error:
            self._asked_again_at = loop.time() + PAUSE_SECONDS
            if isinstance(error, ReplyError) and error.code in WRONG_SERVER:
                self._nodes.distrust()
            if not self._missed:
                self._missed = True
                logger.warning("limits: this process counts alone, Redis does not: %s", _name(error))
            return None
        if self._missed:
            self._missed = False
            logger.warning("limits: all workers count together again")
        return replies

    def _tell(self, commands: Sequence[Command]) -> None:
        """Nobody waits: what is lost of these mends by itself, with the window or with the place's time."""
        written: defaultdict[Link, list[bytes]] = defaultdict(list)
        for slot, packed in commands:
            with suppress(LinkLost):
                link = self._link(slot)
                if not link.is_behind:
                    written[link].append(packed)
        for link, packed_ones in written.items():
            link.write(b"".join(packed_ones), len(packed_ones), lambda replies: None)

    def _link(self, slot: int) -> Link:
        link = self._nodes.link(slot)
        if link is None or not link.is_open:
            raise LinkLost
        return link


async def _replies(links: Sequence[Link], commands: Sequence[bytes]) -> Replies:
    """Raises LinkLost, and the first ReplyError among them."""
    first = links[0]
    if all(link is first for link in links):  # always, but in a Cluster
        return await first.call_all(b"".join(commands), len(commands))
    replies: list[Any] = await asyncio.gather(
        *(link.call_all(packed, 1) for link, packed in zip(links, commands, strict=True))
    )
    return [reply for [reply] in replies]


def _name(error: Exception) -> str:
    return error.code if isinstance(error, ReplyError) else type(error).__name__
