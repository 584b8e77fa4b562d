"""REDIS_URL in all its forms, and what it never shows."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from chat.redis.address import Node, RedisAddress, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1", RedisAddress("single", (Node("127.0.0.1", 6379),))),
        ("redis://:p%40ss@host:1/3", RedisAddress("single", (Node("host", 1),), secret="p@ss", database=3)),
        ("unix:///run/redis.sock?db=2", RedisAddress("single", (Node("/run/redis.sock", 0),), database=2)),
        (
            "rediss://me:secret@[::1]:7/0?ssl_ca_certs=/ca.pem",
            RedisAddress("single", (Node("::1", 7),), "me", "secret", tls=True, ca_file="/ca.pem"),
        ),
        (
            "redis+sentinel://a:1,b/chat/2",
            RedisAddress("sentinel", (Node("a", 1), Node("b", 26379)), service="chat", database=2),
        ),
        (
            "rediss+cluster://:secret@a:1,b:2/?ssl_cert_reqs=none",
            RedisAddress("cluster", (Node("a", 1), Node("b", 2)), secret="secret", tls=True, verified=False),
        ),
    ],
)
def test_an_address_is_read(url: str, address: RedisAddress) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "http://secret@host", "redis+other://secret@host", "redis://:secret@host:port", "redis://:secret@host/name",
     "redis+sentinel://:secret@host:1", "redis+cluster://:secret@host:1/1"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis|REDIS_URL") as caught:
        parse(url)
    assert "secret" not in str(caught.value)


async def test_redis_py_takes_what_is_made_for_it() -> None:
    address = parse("rediss://me:p%40ss@host:7/3?ssl_ca_certs=/ca.pem")
    client = Redis.from_url(address.url_of(address.nodes[0]))
    options = client.connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("me", "p@ss", 3)
    assert options["ssl_ca_certs"] == "/ca.pem"
    await client.aclose()


def test_an_address_hides_its_secret() -> None:
    assert "hidden" not in repr(parse("redis://me:hidden@host"))
