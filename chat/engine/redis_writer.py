"""What this worker's generations have to say, into Redis: one packed write a tick to each server, for all of them.

An event goes to readers, those of this worker too, once Redis has it: what anybody has seen is in the log, and a
generation that another worker has taken meanwhile says nothing more. While Redis is away, or takes nothing, the readers
here are served from memory; when it is back, each stream goes on behind what Redis still has of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from chat.engine.memory_log import MemoryLog
from chat.engine.owned_stream import OwnedStream
from chat.engine.redis_keys import FENCE, TERMINAL, entry_id, parse_entry_id
from chat.redis.link import Link, Replies, ReplyError
from chat.redis.nodes import WRONG_SERVER, Nodes
from chat.redis.resp import pack, pack_append

logger = logging.getLogger(__name__)

LIVE_SECONDS = 3600
"""How long the events of a live generation stay in Redis without a word of its worker: no key is there forever."""

FOREVER_SECONDS = 10 * 365 * 24 * 3600
"""What `off` for CHAT_LOG_SECONDS means to Redis."""

STREAM_WRITE_BYTES = 256 * 1024
LINK_WRITE_BYTES = 2 << 20
"""In one turn of the loop, of one stream and to one server: a Redis that has forgotten everything is told again in
pieces, and the loop goes on."""

PAUSE_SECONDS = 1.0
"""A Redis that refuses what it is sent, because its memory is full, say, is asked again after so long."""

MOVED_AWAY = frozenset({"MOVED", "ASK"})
"""Codes of refusals of one key, as long as it is elsewhere; after others, what came later may have been taken."""

OUT_OF_ORDER = "ERR The ID specified in XADD is equal or smaller"

_FIELDS: dict[str, bytes] = {}


class RedisWriter:
    """`memory` holds what readers of this worker may have. `ended_seconds`: how long an ended generation's events stay
    in Redis. `may_speak`: whether readers may have what Redis does not. `fenced` is told of streams that a later epoch
    has taken."""

    def __init__(
        self,
        nodes: Nodes,
        memory: MemoryLog,
        *,
        ended_seconds: float,
        may_speak: Callable[[], bool],
        fenced: Callable[[OwnedStream], None],
    ) -> None:
        self._nodes = nodes
        self._memory = memory
        self._ended_seconds = max(1, round(min(ended_seconds, FOREVER_SECONDS)))
        self._may_speak = may_speak
        self._fenced = fenced
        self._planned: list[OwnedStream] = []
        self._deferred: list[OwnedStream] = []
        """What has more to say than one turn takes: when Redis has answered the next time."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refused_at: float | None = None
        self._probe: OwnedStream | None = None

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
        batches: dict[Link, _Batch] = {}
        for stream in planned:
            stream.planned = False
            link = self._nodes.link(stream.key.slot)
            if link is None or self._is_refused(stream):
                self._speak_alone(stream)
            elif stream.link is not link:
                self._synchronize(stream, link)
            else:
                batch = batches.setdefault(link, _Batch())
                if batch.bytes < LINK_WRITE_BYTES and not link.is_behind:
                    self._pack(stream, batch)
                if stream.sent < stream.appended:
                    self._deferred.append(stream)
        for link, batch in batches.items():
            if batch.packed:  # else all was there already, and no reply would come
                link.write(b"".join(batch.packed), len(batch.packed), partial(self._written, batch.shares))

    def _is_refused(self, stream: OwnedStream) -> bool:
        """While Redis takes nothing, one stream tries again once in a while, for all."""
        if self._refused_at is None or stream is self._probe:
            return False
        if self._probe is None and asyncio.get_running_loop().time() - self._refused_at > PAUSE_SECONDS:
            self._probe = stream
            return False
        return True

    def _pack(self, stream: OwnedStream, batch: _Batch) -> None:
        head, epoch, packed = stream.head, stream.epoch, batch.packed
        before, size = len(packed), 0
        terminal = stream.appended if stream.ending else 0
        for entry in stream.unsent():
            field = _field(entry.event)
            if entry.seq == terminal:
                field += TERMINAL
            packed.append(pack_append(head, b"%d-%d" % (epoch, entry.seq), field, entry.data))
            stream.sent = entry.seq
            size += len(entry.data)
            if size > STREAM_WRITE_BYTES:
                break
        if terminal and stream.sent == stream.appended:
            packed += [pack("EXPIRE", key, self._ended_seconds) for key in (stream.key.stream, stream.key.snapshot)]
        if len(packed) == before:
            self.forget(stream)  # it has nothing to try with
            return
        batch.bytes += size
        batch.shares.append((stream, stream.sent, len(packed) - before))

    def _written(self, shares: list[_Share], replies: Replies | None) -> None:
        if replies is None:
            return  # `lost` has seen to it
        deferred, self._deferred = self._deferred, []
        for stream in deferred:
            self.plan(stream)
        at, end = 0, 0
        for stream, up_to, count in shares:
            at, end = end, end + count
            errors = [reply for reply in replies[at:end] if type(reply) is ReplyError]
            if errors:
                self._refuse(stream, errors[0])
            elif stream.link is not None:
                if stream is self._probe and up_to:
                    self._refused_at = self._probe = None
                self._release(stream, up_to)
                stream.complete = stream.ending and up_to == stream.appended

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
                stream.fenced = None
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
        self._write_aside(stream, link, commands)

    def stand_for(self, stream: OwnedStream) -> None:
        """Of a stream that goes on with what older epochs have written, which it does not hold itself."""
        if stream.link is not None and stream.snapshot is not None:
            snapshot = stream.snapshot(stream.last)
            value = b"%d " % snapshot.seq + snapshot.data
            self._write_aside(stream, stream.link, [pack("SET", stream.key.snapshot, value, "EX", LIVE_SECONDS)])

    def _write_aside(self, stream: OwnedStream, link: Link, commands: list[bytes]) -> None:
        link.write(b"".join(commands), len(commands), partial(self._written, [(stream, 0, len(commands))]))

    # Without Redis

    def _speak_alone(self, stream: OwnedStream) -> None:
        if self._may_speak():
            self._release(stream, stream.appended)

    def lost(self, link: Link, streams: Iterable[OwnedStream]) -> None:
        """Its server has gone: who reads here goes on from memory."""
        self._refused_at = self._probe = None
        self._deferred = []
        for stream in streams:
            if link in (stream.link, stream.syncing):
                stream.link = stream.syncing = None
                self._speak_alone(stream)

    def sweep(self, streams: Iterable[OwnedStream], now: float) -> None:
        """Renews what lives, and tries again what was refused; called about once a second."""
        for stream in streams:
            if stream.sent < stream.appended or (stream.link is None and not stream.complete):
                self.plan(stream)
            elif (
                stream.link is not None
                and not stream.ending
                and stream.last
                and now - stream.renewed_at > LIVE_SECONDS / 4
            ):
                stream.renewed_at = now
                keys = (stream.key.stream, stream.key.snapshot)
                self._write_aside(stream, stream.link, [pack("EXPIRE", key, LIVE_SECONDS) for key in keys])

    def _refuse(self, stream: OwnedStream, error: ReplyError) -> None:
        link, stream.link = stream.link, None
        if str(error).startswith(OUT_OF_ORDER):
            if link is not None and link.is_open:
                self._synchronize(stream, link)  # which tells a later epoch from a repetition
            return
        if error.code in WRONG_SERVER:
            stream.suspect |= error.code not in MOVED_AWAY
            self._nodes.distrust()
        else:
            # Of what was sent at once, some may have been taken and some not.
            stream.suspect = True
            if self._refused_at is None:
                logger.error("Redis does not take events: %s", error.code)
            self._refused_at, self._probe = asyncio.get_running_loop().time(), None
        self._speak_alone(stream)

    def forget(self, stream: OwnedStream) -> None:
        """It says nothing more: another one tries for all."""
        if stream is self._probe:
            self._probe = None

    # Finding out what Redis has

    def resume(self, streams: Iterable[OwnedStream]) -> None:
        """Servers are there (again). What it once had all of, it need not be told again: the database has it too."""
        for stream in streams:
            link = self._nodes.link(stream.key.slot)
            if link is not None and stream.link is not link and not stream.complete:
                self._synchronize(stream, link)

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
            self._refuse(stream, reply)
            return
        epoch, seq = parse_entry_id(reply[0][0]) if reply else (0, 0)
        if epoch > stream.epoch:
            self.forget(stream)
            self._fenced(stream)
            return
        stream.link = link
        if stream.suspect:
            # Written anew from the beginning, the fence of its own epoch first.
            stream.suspect, epoch, seq = False, 0, 0
            fence = pack("XADD", stream.key.stream, entry_id(stream.epoch, 0), FENCE, "")
            expire = pack("EXPIRE", stream.key.stream, LIVE_SECONDS)
            self._write_aside(stream, link, [pack("DEL", stream.key.stream), fence, expire])
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


class _Batch:
    """What one server is written in one turn. `bytes`: of events."""

    __slots__ = ("bytes", "packed", "shares")

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.shares: list[_Share] = []
        self.bytes = 0


_Share = tuple[OwnedStream, int, int]
"""Whose commands, up to which event, and how many."""


def _field(event: str) -> bytes:
    field = _FIELDS.get(event)
    if field is None:
        field = _FIELDS[event] = event.encode()  # as many as there are kinds of events
    return field
