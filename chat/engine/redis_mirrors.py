"""What other workers' generations say, out of Redis: one question a tick to each server, for all that are read here.

A mirror is a stream like any other; its readers do not know that it is one. Not `XREAD BLOCK`: its server would wake it
with the first event of each tick, and be asked again for all streams each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from chat.engine.log import RETRY_SECONDS
from chat.engine.redis_keys import TERMINAL, Key, bucket_of, parse_entry_id
from chat.engine.stream import Stream
from chat.errors import LOG_AWAY, Unavailable
from chat.events import Entry
from chat.redis.link import Link, LinkLost, ReplyError
from chat.redis.nodes import WRONG_SERVER, Nodes
from chat.redis.resp import pack

logger = logging.getLogger(__name__)

UNREAD_SECONDS = 2.0
"""How long a mirror that nobody reads is kept: a reader that reconnects finds it."""

EVENTS_AT_ONCE = 512
"""Of one stream in one answer: what one tick brings is a fraction of it."""

COMPLAINT_SECONDS = 10.0
"""Between two lines in the log about a Redis that refuses to answer."""


class Mirror(Stream):
    """`key`: where it comes from; `position`: the entry that it is at; `news_at`: when something came last."""

    __slots__ = ("epoch", "key", "news_at", "packed_key", "server", "unread_since")

    def __init__(self, generation: str, limit: int | None, key: Key, now: float, single: bool) -> None:
        super().__init__(generation, limit)
        self.key = key
        self.packed_key = b"$%d\r\n%b\r\n" % (len(key.stream), key.stream)
        self.epoch = 0
        self.news_at = now
        self.unread_since: float | None = now
        # A Cluster answers one question for the streams of one bucket; a single server for all.
        self.server = 0 if single else bucket_of(generation)

    @property
    def position(self) -> bytes:
        return b"%d-%d" % (self.epoch, self.last)

    def take(self, entries: list[list[Any]], now: float) -> bool:
        """Entries as Redis has them; False where one between is missing: this mirror cannot go on."""
        news: list[Entry] = []
        last, ended = self.last, False
        for entry_id, (field, data) in entries:
            epoch, seq = parse_entry_id(entry_id)
            self.epoch = epoch
            if seq <= last and not field.endswith(TERMINAL):  # a fence, or what is known
                continue
            if seq != last + 1:
                return False
            last = seq
            ended = field.endswith(TERMINAL)
            news.append(Entry(seq, field.removesuffix(TERMINAL).decode(), data))
        if news:
            self.news_at = now
            self.publish(news)
        if ended:
            self.ended_at = now
            self.snapshot = None
        return True


class RedisMirrors:
    """`open` starts the task that reads on; `interval` says how long a tick is, in seconds."""

    def __init__(
        self,
        nodes: Nodes,
        *,
        key_of: Callable[[str], Key],
        single: bool,
        stream_bytes: int | None,
        interval: Callable[[], float],
    ) -> None:
        self._nodes = nodes
        self._key_of = key_of
        self._single = single
        self._stream_bytes = stream_bytes
        self._interval = interval
        self._mirrors: dict[str, Mirror] = {}
        self._loading: dict[str, asyncio.Task[Mirror | None]] = {}
        self._wanted = asyncio.Event()
        self._complained = -COMPLAINT_SECONDS
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._read_on(), name="redis-mirrors")

    async def aclose(self) -> None:
        tasks = [task for task in (self._task, *self._loading.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._mirrors.clear()

    @property
    def held_bytes(self) -> int:
        return sum(mirror.held for mirror in self._mirrors.values())

    async def find(self, generation: str, after: int) -> Stream | None:
        """Raises Unavailable."""
        mirror = self._mirrors.get(generation)
        if mirror is not None and (mirror.holds_all_after(after) or mirror.ended_at is not None):
            return mirror
        # However many ask at once, Redis is asked once.
        loading = self._loading.get(generation)
        if loading is None:
            loading = asyncio.get_running_loop().create_task(self._load(generation), name="redis-mirror")
            self._loading[generation] = loading
            loading.add_done_callback(partial(self._loaded, generation))
        return await asyncio.shield(loading)

    def quiet(self, now: float, seconds: float) -> list[Stream]:
        return [
            mirror
            for mirror in self._mirrors.values()
            if mirror.readers and mirror.ended_at is None and now - mirror.news_at > seconds
        ]

    async def ask(self, generation: str, *commands: bytes) -> list[Any]:
        """The replies of packed commands that concern one generation. Raises Unavailable."""
        link = self._nodes.link(self._key_of(generation).slot)
        if link is None:
            raise Unavailable(LOG_AWAY, retry_after=RETRY_SECONDS)
        try:
            return await link.call_all(b"".join(commands), len(commands))
        except LinkLost:
            raise Unavailable(LOG_AWAY, retry_after=RETRY_SECONDS) from None
        except ReplyError as error:
            self._distrust(error)
            raise Unavailable(LOG_AWAY, retry_after=RETRY_SECONDS) from None

    def _loaded(self, generation: str, task: asyncio.Task[Mirror | None]) -> None:
        self._loading.pop(generation, None)
        if not task.cancelled():
            task.exception()  # who asked may have gone

    async def _load(self, generation: str) -> Mirror | None:
        """All that Redis has of it; once there is a mirror, what it needs for readers that are far behind."""
        key = self._key_of(generation)
        snapshot, entries = await self.ask(generation, pack("GET", key.snapshot), pack("XRANGE", key.stream, "-", "+"))
        mirror = self._mirrors.get(generation)  # another reader may have asked at the same time
        if mirror is None:
            now = asyncio.get_running_loop().time()
            mirror = Mirror(generation, self._stream_bytes, key, now, self._single)
            seqs = (parse_entry_id(entry[0])[1] for entry in entries)
            first = next((seq for seq in seqs if seq), None)
            if first is None:
                return None
            mirror.first = first
            if not mirror.take(entries, now):
                # What stands for the older ones may reach over a gap.
                covered = int(snapshot.partition(b" ")[0]) if snapshot is not None else 0
                behind = [entry for entry in entries if parse_entry_id(entry[0])[1] > covered]
                mirror = Mirror(generation, self._stream_bytes, key, now, self._single)
                mirror.first = covered + 1
                if not covered or not mirror.take(behind, now):
                    return None
            self._mirrors[generation] = mirror
            self._wanted.set()
        if snapshot is not None and mirror.ended_at is None:
            seq, _, data = snapshot.partition(b" ")
            entry = Entry(int(seq), "snapshot", data)
            mirror.snapshot = (lambda _seq: entry) if mirror.holds_all_after(entry.seq) else None
        return mirror

    # Reading on

    async def _read_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._interval())
            try:
                self._let_go(loop.time())
                await self._ask_for_news(loop)
            except Exception:
                logger.exception("other workers' events cannot be read")

    def _let_go(self, now: float) -> None:
        """The mirrors that nobody reads."""
        for mirror in list(self._mirrors.values()):
            if mirror.readers:
                mirror.unread_since = None
            elif mirror.unread_since is None:
                mirror.unread_since = now
            elif now - mirror.unread_since > UNREAD_SECONDS:
                del self._mirrors[mirror.generation]
        if not self._mirrors:
            self._wanted.clear()

    async def _ask_for_news(self, loop: asyncio.AbstractEventLoop) -> None:
        questions: defaultdict[Link, defaultdict[int, dict[bytes, Mirror]]] = defaultdict(lambda: defaultdict(dict))
        for mirror in self._mirrors.values():
            if mirror.ended_at is None:
                link = self._nodes.link(mirror.key.slot)
                if link is not None:
                    questions[link][mirror.server][mirror.key.stream] = mirror
        await asyncio.gather(
            *(self._ask_one(link, list(servers.values()), loop) for link, servers in questions.items())
        )

    async def _ask_one(self, link: Link, asked: list[dict[bytes, Mirror]], loop: asyncio.AbstractEventLoop) -> None:
        """One server. An answer that is none is for the streams of its question alone."""
        try:
            answers = await link.replies(b"".join([_pack_read(mirrors) for mirrors in asked]), len(asked))
        except LinkLost:
            return
        now = loop.time()
        for mirrors, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ReplyError):
                self._distrust(answer)
                continue
            for key, entries in (answer or {}).items():
                if not mirrors[key].take(entries, now):
                    self._give_up(mirrors[key])

    def _give_up(self, mirror: Mirror) -> None:
        """It has missed something: its readers come back with their cursors."""
        self._mirrors.pop(mirror.generation, None)
        for reader in list(mirror.readers):
            reader.lose(mirror.generation)

    def _distrust(self, error: ReplyError) -> None:
        if error.code in WRONG_SERVER:
            self._nodes.distrust()
            return
        now = asyncio.get_running_loop().time()
        if now - self._complained > COMPLAINT_SECONDS:
            self._complained = now
            logger.error("Redis does not answer: %s", error.code)


def _pack_read(mirrors: dict[bytes, Mirror]) -> bytes:
    head = b"*%d\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$3\r\n%d\r\n$7\r\nSTREAMS\r\n" % (
        4 + 2 * len(mirrors),
        EVENTS_AT_ONCE,
    )
    parts = [head]
    parts += [mirror.packed_key for mirror in mirrors.values()]
    for mirror in mirrors.values():
        position = mirror.position
        parts.append(b"$%d\r\n%b\r\n" % (len(position), position))
    return b"".join(parts)
