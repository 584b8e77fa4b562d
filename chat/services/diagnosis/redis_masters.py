"""Connections to every Redis server that takes writes: the one, the one that the Sentinels name, or a Cluster's all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from chat.redis.address import Node, RedisAddress, parse

SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Master:
    """`place` may be shown: it has no password."""

    place: str
    client: Redis


@contextmanager
def masters(url: str) -> Iterator[list[Master]]:
    """At least one; closed at the end. Raises ValueError for a URL that is none, RedisError."""
    address = parse(url)
    with ExitStack() as clients:
        yield [Master(_place(node), clients.enter_context(_client(address, node))) for node in _locate(address)]


def _client(address: RedisAddress, node: Node) -> Redis:
    return Redis.from_url(address.url_of(node), **_options())


def _options() -> dict[str, Any]:
    """One try, and the protocol that old servers speak too."""
    return {
        "socket_timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "decode_responses": True,
    }


def _place(node: Node) -> str:
    return f"{node.host}:{node.port}" if node.port else node.host


def _locate(address: RedisAddress) -> list[Node]:
    if address.kind == "sentinel":
        return [_ask_sentinels(address)]
    if address.kind == "cluster":
        return _ask_cluster(address)
    return [address.nodes[0]]


def _ask_sentinels(address: RedisAddress) -> Node:
    asked = replace(address, username=None, secret="", database=0)  # the password is the servers', not the Sentinels'
    for node in address.nodes:
        with suppress(RedisError), _client(asked, node) as sentinel:
            found = sentinel.sentinel_get_master_addr_by_name(address.service)
            if found:
                return Node(str(found[0]), int(found[1]))
    raise NotConnected("no Sentinel names a master")


def _ask_cluster(address: RedisAddress) -> list[Node]:
    for node in address.nodes:
        with (
            suppress(RedisError, RedisClusterException),
            RedisCluster.from_url(address.url_of(node), **_options()) as cluster,
        ):
            return [Node(str(primary.host), int(primary.port)) for primary in cluster.get_primaries()]
    raise NotConnected("no server of the Cluster answers")
