"""Counting in memory and in Redis: the same to whoever counts, and in Redis also to every worker."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from chat.redis import address
from chat.services import redis_limits
from chat.services.limit_storage import LimitStorage, Places, Taken
from chat.services.memory_limits import MemoryLimits
from chat.services.rates import Rate, Window
from chat.services.redis_limits import RedisLimits
from tests.redis_servers import RedisCluster, RedisSentinels, RedisServer

THREE = Window("send", "somebody", Rate(3, 1))
OTHERS = Window("send", "somebody-else", Rate(3, 1))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def shared(url: str) -> RedisLimits:
    return RedisLimits(address.parse(url), "chat", MemoryLimits(100))


@pytest.fixture(params=["memory", "redis"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[LimitStorage]:
    made = MemoryLimits(100)
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        with server.client() as client:
            client.flushall()
        made = shared(server.url)
    await made.open()
    yield made
    await made.aclose()


async def take(storage: LimitStorage, entry: str, *windows: Window) -> list[tuple[bool, int]]:
    counts = (await storage.take(entry, windows)).counts
    return [(count.taken, count.remaining) for count in counts]


async def test_as_many_as_the_rate_allows_and_one_more_when_the_first_is_over(storage: LimitStorage) -> None:
    assert [await take(storage, f"{n}", THREE) for n in range(3)] == [[(True, 2)], [(True, 1)], [(True, 0)]]
    [full] = (await storage.take("4", [THREE])).counts
    assert (full.taken, full.limit, full.remaining, full.seconds) == (False, 3, 0, 1)
    assert 0 < full.reset <= 1
    assert await take(storage, "5", THREE, OTHERS) == [(False, 0), (True, 2)]
    await asyncio.sleep(full.reset + 0.01)
    [again] = await take(storage, "6", THREE)
    assert again[0]


async def test_what_is_given_back_may_come_again(storage: LimitStorage) -> None:
    for n in range(3):
        await storage.take(f"{n}", [THREE, OTHERS])
    storage.give_back("1", [THREE])
    storage.give_back("never-there", [THREE])
    assert await take(storage, "4", THREE, OTHERS) == [(True, 0), (False, 0)]
    assert await take(storage, "5", THREE) == [(False, 0)]


async def test_a_rate_of_nothing_lets_nothing_in(storage: LimitStorage) -> None:
    [count] = (await storage.take("1", [Window("send", "nobody", Rate(0, 60))])).counts
    assert (count.taken, count.remaining, count.seconds) == (False, 0, 60)


async def test_of_too_many_windows_the_oldest_are_forgotten() -> None:
    storage = MemoryLimits(2)
    windows = [Window("send", name, Rate(1, 60)) for name in "abc"]
    for window in windows:
        assert await take(storage, "1", window) == [(True, 0)]
    assert await take(storage, "2", windows[2]) == [(False, 0)]
    assert await take(storage, "2", windows[0]) == [(True, 0)]


async def test_what_holds_nothing_any_more_goes() -> None:
    now = [0.0]
    storage = MemoryLimits(None, lambda: now[0])
    for n in range(50):
        await take(storage, "1", Window("send", f"{n}", Rate(1, 60)))
    now[0] = 61.0
    for n in range(25):
        await take(storage, "2", Window("send", f"later-{n}", Rate(1, 60)))
    assert len(storage._windows) == 25


@pytest.mark.redis
@pytest.mark.parametrize("kind", [RedisServer, RedisCluster, RedisSentinels])
async def test_all_workers_count_together_on_whatever_redis(
    kind: type[RedisServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kind(tmp_path) as server:
        one, two = shared(server.url), shared(server.url)
        await asyncio.gather(one.open(), two.open())
        whole = Rate(4, 3600)
        windows = [Window("send", owner, whole) for owner in ("a-user", "a-key", "203.0.113.7")]
        for n, worker in enumerate((one, two, one, two)):
            assert await take(worker, f"{n}", *windows) == [(True, 3 - n)] * 3
        assert await take(two, "4", *windows) == [(False, 0)] * 3
        one.give_back("0", windows)
        assert await take(one, "5", *windows) == [(True, 0)] * 3
        places = Places("a-user", 2)
        assert [(await worker.take(str(worker), [], places)).place for worker in (one, two)] == [True, True]
        assert not (await one.take("6", [], places)).place
        two.release("a-user", str(two))
        assert (await two.take("7", [], places)).place
        await asyncio.gather(one.aclose(), two.aclose())
    assert "counts alone" not in caplog.text


@pytest.mark.redis
async def test_a_place_lasts_as_long_as_it_is_renewed(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_limits, "PLACE_SECONDS", 1)
    living, other = shared(redis.url), shared(redis.url)
    await asyncio.gather(living.open(), other.open())
    places = Places("renewed", 1)
    living.hold("renewed", "a-reply")
    for n in range(4):
        await asyncio.sleep(0.4)
        assert not (await other.take(f"refused-{n}", [], places)).place
        living.renew({"a-reply": "renewed"})
    await living.aclose()  # as a worker dies: nothing is given back
    await until(lambda: other.take("free", [], places), lambda taken: taken.place)
    await other.aclose()


@pytest.mark.redis
async def test_a_redis_that_hangs_or_goes_lets_memory_count_and_is_taken_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(tmp_path) as server:
        storage = shared(server.url)
        await storage.open()
        window = Window("send", "somebody", Rate(2, 3600))
        assert await take(storage, "1", window) == [(True, 1)]
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        assert [await take(storage, f"h{n}", window) for n in range(3)] == [[(True, 1)], [(True, 0)], [(False, 0)]]
        server.process.send_signal(signal.SIGCONT)
        await counts_in_redis(storage)
        await asyncio.to_thread(server.kill)
        assert (await take(storage, "k", window))[0] == (False, 0), "memory has not forgotten"
        await asyncio.to_thread(server.start)
        await counts_in_redis(storage)
        storage.give_back("1", [window])
        await storage.aclose()
    said = [record for record in caplog.records if record.name == redis_limits.__name__]
    assert {record.levelno for record in said} == {logging.WARNING}
    assert ["alone" in record.message for record in said] == [True, False, True, False]


async def counts_in_redis(storage: RedisLimits) -> None:
    probe = Window("probe", "probe", Rate(1, 1))
    await until(lambda: storage.take("probe", [probe]), lambda taken: not storage._missed)


async def until(ask: Callable[[], Awaitable[Taken]], good: Callable[[Taken], bool]) -> None:
    for _attempt in range(300):
        if good(await ask()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never came")
