"""Real Redis servers, well and ill set up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from chat.services.diagnosis.base import Level
from chat.services.diagnosis.examine import diagnose
from chat.services.diagnosis.registry import EXAMINATIONS
from tests.doctor.examined import SECRET, examined, problems
from tests.redis_servers import RedisCluster, RedisSentinels, RedisServer


def test_a_redis_that_forgets_is_found(redis: Callable[..., RedisServer]) -> None:
    redis("--maxmemory-policy", "allkeys-lru", "--timeout", "60", password=SECRET)
    found = examined("redis")
    assert problems(found) == {"redis.policy", "redis.persistence", "redis.timeout"}
    assert found["redis.policy"].level is Level.PROBLEM
    assert "allkeys-lru" in found["redis.policy"].sentence


def test_a_redis_that_is_full_is_found(redis: Callable[..., RedisServer]) -> None:
    redis("--maxmemory", "1mb", appendonly=True)
    assert problems(examined("redis")) == {"redis.memory"}


def test_a_redis_that_is_set_up_well_is_left_alone(redis: Callable[..., RedisServer]) -> None:
    redis(appendonly=True)
    found = examined("redis", "clock")
    assert not problems(found)
    assert {"redis", "clock"} <= set(found)


@pytest.mark.parametrize("command", ["CONFIG", "INFO"])
def test_a_redis_that_hides_its_settings_is_no_problem(command: str, redis: Callable[..., RedisServer]) -> None:
    server = redis(appendonly=True)
    with server.client() as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", f"-{command.lower()}"], keys="*")
    found = examined("redis")
    assert not problems(found)
    assert "redis.hidden" in found


def test_a_replica_in_the_masters_place_is_found(redis: Callable[..., RedisServer]) -> None:
    master = redis(appendonly=True)
    replica = redis("--replicaof", "127.0.0.1", str(master.port), appendonly=True)
    assert replica.url != master.url
    assert problems(examined("redis")) == {"redis.replica"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"redis://:{SECRET}@127.0.0.1:1/0", "redis.away"),
        (f"redis+cluster://:{SECRET}@127.0.0.1:1/", "redis.away"),
        (f"redis+sentinel://:{SECRET}@127.0.0.1:1/chat/0", "redis.away"),
        (f"http://:{SECRET}@127.0.0.1/", "redis.address"),
    ],
)
def test_a_redis_that_is_not_there_is_found(url: str, expected: str, settings: Settings) -> None:
    settings.REDIS_URL = url
    found = examined("redis")
    assert problems(found) == {expected}
    assert SECRET not in repr(found)


def test_every_master_of_a_cluster_is_examined(tmp_path: Path, settings: Settings) -> None:
    with RedisCluster(tmp_path) as cluster:
        with cluster.nodes[1].client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        settings.REDIS_URL = cluster.url
        found = diagnose("", [examination for examination in EXAMINATIONS if examination.name == "redis"])
    assert [finding.id for finding in found if finding.level is not Level.OK] == ["redis.policy"]
    assert str(cluster.nodes[1].port) in found[0].sentence
    assert len([finding for finding in found if finding.id == "redis"]) == 2


def test_the_master_that_the_sentinels_name_is_examined(tmp_path: Path, settings: Settings) -> None:
    with RedisSentinels(tmp_path, sentinels=2) as sentinels:
        settings.REDIS_URL = sentinels.url
        found = examined("redis")
        assert problems(found) == {"redis.persistence"}
        assert str(sentinels.master.port) in found["redis.persistence"].sentence
