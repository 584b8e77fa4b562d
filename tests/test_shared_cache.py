"""The cache behind the sign-in page's limits: one for all workers, and no page waits for a Redis that is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatsite import shared_cache
from chatsite.configured_cache import cache_for
from chatsite.shared_cache import SharedCache
from tests.redis_servers import RedisServer

PARAMS: dict[str, Any] = {"KEY_PREFIX": "chat:cache"}


@pytest.mark.redis
def test_it_is_in_redis_and_in_memory_while_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_cache, "PAUSE_SECONDS", 0.0)
    with RedisServer(tmp_path) as server:
        made = cache_for(server.url, "chat")
        assert made["BACKEND"] == "chatsite.shared_cache.SharedCache"
        one, two = SharedCache(made["LOCATION"], PARAMS), SharedCache(made["LOCATION"], PARAMS)
        assert one.add("key", [1.5], 60)
        assert not two.add("key", "another", 60)
        assert two.get("key") == [1.5]
        one.clear()
        with server.client() as client:
            [key] = client.keys("*")
            assert (key, 0 < client.ttl(key) <= 60) == ("chat:cache:1:key", True), "what is Redis's stays"
        server.kill()
        assert two.get("key") is None
        two.set("key", "alone", 60)
        assert (one.get("key"), one.touch("key", 60), one.delete("key")) == ("alone", True, True)
        server.start()
        assert one.add("key", "again", 60)
        assert two.get("key") == "again"
    said = [record.message for record in caplog.records if record.name == shared_cache.__name__]
    assert ["away" in message for message in said] == [True, False]


@pytest.mark.parametrize("url", ["", "redis+sentinel://127.0.0.1/chat/0", "redis+cluster://127.0.0.1/", "no address"])
def test_elsewhere_each_worker_has_its_own(url: str) -> None:
    assert cache_for(url, "chat")["BACKEND"].endswith("LocMemCache")
