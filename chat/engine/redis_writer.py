"""What this worker's generations have to say, into Redis: one packed write a tick to each server, for all of them.

An event goes to readers, those of this worker too, once Redis has it: what anybody has seen is in the log, and a
generation that another worker has taken meanwhile says nothing more. While Redis is away the readers here are served
from memory; when it is back, each stream goes on behind what Redis still has of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from chat.engine.memory_log import MemoryLog
from chat.engine.owned_stream import OwnedStream
from chat.engine.redis_keys import TERMINAL, entry_id, parse_entry_id
from chat.redis.link import Link, Replies, ReplyError
from chat.redis.nodes import WRONG_SERVER, Nodes
from chat.redis.resp import pack, pack_append

logger = logging.getLogger(__name__)

LIVE_SECONDS = 3600
"""How long the events of a live generation stay in Redis without a word of its worker: no key is there forever."""

FOREVER_SECONDS = 10 * 365 * 24 * 3600
"""What `off` for CHAT_LOG_SECONDS means to Redis."""

COMPLAINT_SECONDS = 10.0
"""Between two lines in the log about a Redis that refuses what it is sent."""

OUT_OF_ORDER = "ERR The ID specified in XADD is equal or smaller"

_FIELDS: dict[str, bytes] = {}


class RedisWriter:
    """`memory` holds what readers of this worker may have. `ended_seconds`: how long an ended generation's events stay
    in Redis."""

    def __init__(self, nodes: Nodes, memory: MemoryLog, ended_seconds: float) -> None:
        self._nodes = nodes
        self._memory = memory
        self._ended_seconds = max(1, round(min(ended_seconds, FOREVER_SECONDS)))
        self._complained = -COMPLAINT_SECONDS
        self._planned: list[OwnedStream] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def plan(self, stream: OwnedStream) -> None:
        """Writes what it has, with what all others have after this turn of the loop."""
        if stream.planned:
            return
        stream.planned = True
        if not self._planned:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._write_planned)
        self._planned.append(stream)

    def _write_planned(self) -> None:
        planned, self._planned = self._planned, []
        batches: dict[Link, tuple[list[bytes], list[_Share]]] = {}
        for stream in planned:
            stream.planned = False
            link = self._nodes.link(stream.key.slot)
            if link is None:
                self._release(stream, stream.appended)
            elif stream.link is link:
                packed, shares = batches.setdefault(link, ([], []))
                shares.append(self._pack(stream, packed))
            else:
                self._synchronize(stream, link)
        for link, (packed, shares) in batches.items():
            count = sum(share[2] for share in shares)
            link.write(b"".join(packed), count, partial(self._written, shares))

    def _pack(self, stream: OwnedStream, packed: list[bytes]) -> _Share:
        """Adds the stream's commands."""
        head, epoch, before = stream.head, stream.epoch, len(packed)
        terminal = stream.appended if stream.ending else 0
        for entry in stream.unsent():
            field = _field(entry.event)
            if entry.seq == terminal:
                field += TERMINAL
            packed.append(pack_append(head, b"%d-%d" % (epoch, entry.seq), field, entry.data))
        stream.sent = max(stream.sent, stream.appended)
        if terminal:
            packed += [pack("EXPIRE", key, self._ended_seconds) for key in (stream.key.stream, stream.key.snapshot)]
        return stream, stream.sent, len(packed) - before

    def _written(self, shares: list[_Share], replies: Replies | None) -> None:
        if replies is None:
            return  # `lost` has seen to it
        at = 0
        for stream, up_to, count in shares:
            errors = [reply for reply in replies[at : at + count] if type(reply) is ReplyError]
            at += count
            if errors:
                self._refused(stream, errors[0])
            elif stream.link is not None:
                self._release(stream, up_to)

    def _release(self, stream: OwnedStream, up_to: int) -> None:
        """Readers may have it."""
        first = stream.first
        entries = stream.take_pending(up_to)
        if entries:
            self._memory.publish(stream, entries)
        if stream.first != first and stream.link is not None and not stream.ending:
            self._trim(stream, stream.link)
        if not stream.pending:
            if stream.ending and stream.ended_at is None:
                self._memory.end(stream)
            if stream.settled is not None:
                stream.settled.set_result(None)
                stream.settled = None

    def _trim(self, stream: OwnedStream, link: Link) -> None:
        """Redis lets go what this worker has let go, and gets what stands for it."""
        if stream.snapshot is None:
            return
        snapshot = stream.snapshot(stream.appended)
        commands = [
            pack("SET", stream.key.snapshot, b"%d " % snapshot.seq + snapshot.data, "EX", LIVE_SECONDS),
            pack("XTRIM", stream.key.stream, "MINID", entry_id(stream.epoch, stream.first)),
        ]
        link.write(b"".join(commands), len(commands), partial(self._written, [(stream, 0, len(commands))]))

    # Trouble

    def _refused(self, stream: OwnedStream, error: ReplyError) -> None:
        link, stream.link = stream.link, None
        if error.code in WRONG_SERVER:
            self._nodes.distrust()
        elif str(error).startswith(OUT_OF_ORDER):
            if link is not None and link.is_open:
                self._synchronize(stream, link)  # which tells a later epoch from a repetition
            return
        else:
            self._complain(error)
        self._release(stream, stream.appended)

    def _complain(self, error: ReplyError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained > COMPLAINT_SECONDS:
            self._complained = now
            logger.error("Redis does not take events: %s", error.code)

    def lost(self, link: Link, streams: Iterable[OwnedStream]) -> None:
        """Its server has gone: who reads here goes on from memory."""
        for stream in streams:
            if link in (stream.link, stream.syncing):
                stream.link = stream.syncing = None
                self._release(stream, stream.appended)

    def resume(self, streams: Iterable[OwnedStream]) -> None:
        """The servers are there (again)."""
        for stream in streams:
            link = self._nodes.link(stream.key.slot)
            if link is not None and stream.link is not link:
                self._synchronize(stream, link)

    def renew(self, streams: Iterable[OwnedStream], now: float) -> None:
        """Live streams stay; called once in a while."""
        for stream in streams:
            link = stream.link
            if link is not None and not stream.ending and now - stream.renewed_at > LIVE_SECONDS / 4:
                stream.renewed_at = now
                commands = [pack("EXPIRE", key, LIVE_SECONDS) for key in (stream.key.stream, stream.key.snapshot)]
                link.write(b"".join(commands), len(commands), partial(self._written, [(stream, 0, len(commands))]))

    def _synchronize(self, stream: OwnedStream, link: Link) -> None:
        """Asks what Redis has of it, and goes on behind that."""
        if stream.syncing is link:
            return
        stream.syncing = link
        ask = pack("XREVRANGE", stream.key.stream, "+", "-", "COUNT", 1)
        link.write(ask, 1, partial(self._go_on, stream, link))

    def _go_on(self, stream: OwnedStream, link: Link, replies: Replies | None) -> None:
        if replies is None or stream.syncing is not link:
            return
        stream.syncing = None
        reply = replies[0]
        if isinstance(reply, ReplyError):
            self._refused(stream, reply)
            return
        epoch, seq = parse_entry_id(reply[0][0]) if reply else (0, 0)
        if epoch > stream.epoch:
            fenced, stream.fenced = stream.fenced, None
            if fenced is not None:
                fenced()
            return
        stream.link = link
        stream.renewed_at = -LIVE_SECONDS
        if epoch == stream.epoch and seq == 0:  # its own fence
            stream.sent = stream.first - 1
        else:
            stream.sent = min(seq, stream.appended if epoch == stream.epoch else stream.first - 1)
        if stream.sent < stream.first - 1:
            # Redis has lost what this worker has let go: a snapshot stands for it.
            stream.sent = stream.first - 1
            self._trim(stream, link)
        self._release(stream, stream.sent)
        self.plan(stream)


_Share = tuple[OwnedStream, int, int]
"""Whose commands, up to which event, and how many."""


def _field(event: str) -> bytes:
    field = _FIELDS.get(event)
    if field is None:
        field = _FIELDS[event] = event.encode()  # as many as there are kinds of events
    return field
