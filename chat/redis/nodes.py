"""The servers that this process talks to: one, the one that the Sentinels name, or every master of a Cluster.

They are looked up and connected to in the background, and again whenever one is lost or proves to be the wrong one;
whoever needs one meanwhile is told that there is none.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio.sentinel import Sentinel
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError

from chat.redis.address import Node, RedisAddress
from chat.redis.link import Link, LinkLost, ReplyError

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
"""To one server, with its greeting."""

RETRY_SECONDS = 0.1
RETRY_SECONDS_MOST = 1.0
"""Between two looks for servers that do not answer: doubled each time, and by chance up to half shorter."""

WRONG_SERVER = frozenset({"MOVED", "ASK", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN"})
"""Codes of replies that another server, or this one later, would not give."""

_Failed = (OSError, TimeoutError, LinkLost, ReplyError, RedisError)


class Nodes:
    """`ready` is called whenever links are there (again), `lost` with each one that ends."""

    def __init__(self, address: RedisAddress, *, ready: Callable[[], None], lost: Callable[[Link], None]) -> None:
        self._address = address
        self._ready = ready
        self._lost = lost
        self._links: dict[Node, Link] = {}
        self._of_slot: list[Node] = []
        """Of a Cluster; of the others, one for all."""
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._sentinel: Sentinel | None = None
        self._missed = False
        self.complete = False
        """Every server that is needed is connected to."""

    async def open(self) -> None:
        """Returns after the first look, found or not."""
        self._look.set()
        with suppress(*_Failed):
            await self._connect()
        self._keeper = asyncio.create_task(self._keep(), name="redis-nodes")

    async def aclose(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self.complete = False
        for link in list(self._links.values()):
            link.close()
        self._links.clear()
        if self._sentinel is not None:
            for client in self._sentinel.sentinels:
                await client.aclose()

    def link(self, slot: int) -> Link | None:
        """To the server of this slot; None while it is not there."""
        if not self._of_slot:
            return None
        node = self._of_slot[slot] if self._address.kind == "cluster" else self._of_slot[0]
        return self._links.get(node)

    def distrust(self) -> None:
        """A server has said that it is the wrong one: looks again where they are."""
        self.complete = False
        self._look.set()

    def check(self) -> None:
        """See Link."""
        for link in list(self._links.values()):
            link.check()

    async def _keep(self) -> None:
        delay = RETRY_SECONDS
        while True:
            await self._look.wait()
            if self.complete:
                self._look.clear()
                delay = RETRY_SECONDS
                continue
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 (no secret)
            try:
                await self._connect()
            except _Failed as error:
                if not self._missed:
                    self._missed = True
                    logger.warning("Redis cannot be reached: %r, %s", self._address, type(error).__name__)
                delay = min(delay * 2, RETRY_SECONDS_MOST)
            except Exception:
                logger.exception("Redis cannot be looked up")
                delay = RETRY_SECONDS_MOST

    async def _connect(self) -> None:
        of_slot = await self._locate()
        wanted = set(of_slot)
        for node, link in list(self._links.items()):
            if node not in wanted:
                self._drop(node, link)
        self._of_slot = of_slot
        results = await asyncio.gather(*(self._link_to(node) for node in wanted), return_exceptions=True)
        self._ready()
        for failure in results:
            if failure is not None:
                raise failure
        self.complete = all(node in self._links for node in wanted)
        if self.complete and self._missed:
            self._missed = False
            logger.warning("Redis can be reached again: %r", self._address)

    async def _link_to(self, node: Node) -> None:
        link = self._links.get(node) or await Link.open(self._address, node, self._link_lost, CONNECT_SECONDS)
        try:
            await _check_master(link)
        except BaseException:
            self._drop(node, link)
            raise
        if link.is_open:
            self._links[node] = link

    def _drop(self, node: Node, link: Link) -> None:
        if self._links.get(node) is link:
            self._link_lost(link)
        link.close()

    def _link_lost(self, link: Link) -> None:
        for node, known in list(self._links.items()):
            if known is link:
                del self._links[node]
                self.complete = False
                self._look.set()
                self._lost(link)

    # Where they are

    async def _locate(self) -> list[Node]:
        if self._address.kind == "single":
            return [self._address.nodes[0]]
        if self._address.kind == "sentinel":
            return [await self._ask_sentinels()]
        return await self._ask_cluster()

    async def _ask_sentinels(self) -> Node:
        if self._sentinel is None:
            tls = {"ssl": True, "ssl_cert_reqs": "none"} if self._address.tls and not self._address.verified else {}
            if self._address.tls and self._address.verified:
                tls = {"ssl": True, "ssl_ca_certs": self._address.ca_file}
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                list(self._address.nodes),
                sentinel_kwargs={
                    "socket_timeout": CONNECT_SECONDS,
                    "socket_connect_timeout": CONNECT_SECONDS,
                    **tls,
                },
            )
        host, port = await self._sentinel.discover_master(self._address.service)
        return Node(host, port)

    async def _ask_cluster(self) -> list[Node]:
        """From whichever server answers first: known ones, then those of the address."""
        failure: BaseException = LinkLost()
        for node in dict.fromkeys([*self._links, *self._address.nodes]):
            link = self._links.get(node)
            try:
                borrowed = link or await Link.open(self._address, node, _nobody, CONNECT_SECONDS)
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return _slots(await borrowed.call("CLUSTER", "SLOTS"), node)
                finally:
                    if borrowed is not link:
                        borrowed.close()
            except _Failed as error:
                failure = error
        raise failure


def slot_of(key: bytes) -> int:
    return key_slot(key)


def _slots(ranges: list[list[object]], asked: Node) -> list[Node]:
    """Of CLUSTER SLOTS. Raises LinkLost where a slot has no server."""
    of_slot: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, master, *_replicas in ranges:
        host, port = master[0], master[1]  # type: ignore[index]
        node = Node(host.decode() if host else asked.host, port)
        for slot in range(first, last + 1):  # type: ignore[operator, call-overload]
            of_slot[slot] = node
    found = [node for node in of_slot if node is not None]
    if len(found) < REDIS_CLUSTER_HASH_SLOTS:
        raise LinkLost
    return found


async def _check_master(link: Link) -> None:
    """Raises what tells that it is none, or not yet; who may not ask believes it."""
    async with asyncio.timeout(CONNECT_SECONDS):
        await link.call("PING")
        try:
            role = await link.call("ROLE")
        except ReplyError as error:
            if error.code == "NOPERM":
                return
            raise
    if role[0] != b"master":
        raise LinkLost


def _nobody(link: Link) -> None:
    """Whoever opened it closes it."""
