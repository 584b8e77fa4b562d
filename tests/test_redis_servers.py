"""The Redis servers of the tests: they keep what they should, move slots, and fail over."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis
from redis import RedisCluster as ClusterClient
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError, MovedError
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.providers.certificate import certificate
from tests.redis_servers import HOST, SERVICE, RedisCluster, RedisSentinels, RedisServer, until

__all__ = ["certificate"]


def test_a_server_keeps_its_data_only_when_it_appends(tmp_path: Path) -> None:
    for appendonly, kept in ((True, "value"), (False, None)):
        with RedisServer(tmp_path / str(appendonly), appendonly=appendonly) as server:
            with server.client() as client:
                client.set("key", "value")
            server.restart()
            with server.client() as client:
                assert client.get("key") == kept


def test_a_killed_server_is_gone_and_comes_back_on_its_port(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.kill()
        with server.client() as client:
            with pytest.raises(ConnectionError):
                client.ping()
            server.start()
            assert client.ping()
    assert not server.running


def test_a_server_ends_with_a_test_that_fails(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with pytest.raises(RuntimeError), server:
        raise RuntimeError
    assert not server.running


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, extra=("--no-such-option", "1"))
    with pytest.raises(AssertionError, match="no-such-option"), server:
        pass


def test_a_server_over_tls_with_a_password(tmp_path: Path, certificate: Path) -> None:
    with RedisServer(tmp_path, password="secret", tls=(certificate, certificate)) as server:
        assert server.url == f"rediss://:secret@{HOST}:{server.port}/0"
        with Redis.from_url(server.url, ssl_ca_certs=str(certificate)) as client:
            assert client.ping()
        once = Retry(NoBackoff(), 0)
        nobody = Redis(port=server.port, ssl=True, ssl_ca_certs=str(certificate), retry=once)
        with nobody, pytest.raises(AuthenticationError):
            nobody.ping()
        distrustful = Redis.from_url(server.url, retry=once)
        with distrustful, pytest.raises(ConnectionError, match="certificate verify failed"):
            distrustful.ping()


def test_a_cluster_moves_a_slot_with_its_keys_and_outlives_a_node(tmp_path: Path) -> None:
    with RedisCluster(tmp_path) as cluster:
        address = cluster.url.replace("redis+cluster://", "redis://").split(",")[0]
        with ClusterClient.from_url(address, decode_responses=True) as client:
            keys = {f"{{moved}}{n}": str(n) for n in range(250)}
            client.mset(keys)
            for n in range(30):
                client.set(f"key-{n}", n)
            slot = client.keyslot("{moved}")
            source = cluster.owner(slot)
            target = next(index for index, node in enumerate(cluster.nodes) if node is not source)
            cluster.move_slot(slot, target)
            assert cluster.owner(slot) is cluster.nodes[target]
            assert client.mget(list(keys)) == list(keys.values())
            with source.client() as direct, pytest.raises(MovedError):
                direct.get("{moved}0")
            source.kill()
            source.start()
            cluster.wait()
            assert [client.get(f"key-{n}") for n in range(30)] == [str(n) for n in range(30)]
        cluster.stop()
        cluster.start()
        assert cluster.owner(slot) is cluster.nodes[target]


def test_sentinels_name_the_replica_when_the_master_is_killed(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path) as sentinels:
        addresses = [(HOST, sentinel.port) for sentinel in sentinels.sentinels]
        client = Sentinel(addresses).master_for(SERVICE, decode_responses=True)
        first, second = sentinels.master, sentinels.replica
        client.set("key", "value")
        client.wait(1, 10000)
        sentinels.fail_over()
        assert (sentinels.master, sentinels.replica) == (second, first)
        assert client.get("key") == "value"
        client.set("key", "other")
        # The killed one comes back as the replica of the other.
        first.start()
        with first.client() as returned:
            until(lambda: returned.get("key") == "other", sentinels.log)
        client.close()
