"""Kept replies: what is kept, for how long and how much of it; and how one is replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chat.engine.clock import Clock, StreamPace
from chat.events import Finish, Note, ProviderEvent, Usage
from chat.observation import NO_RUN
from chat.providers.base import ChatRequest, Params, Picture, Provider, Turn
from chat.providers.registry import KINDS
from chat.providers.resilience.cached_source import source_for
from chat.providers.resilience.replayed_source import PIECES, ReplayedSource
from chat.providers.resilience.reply_cache import (
    ENTRY_BYTES,
    PART_OF_ONE,
    Kept,
    ReplyCache,
    is_deterministic,
    key_of,
)
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, question, until
from tests.providers.recovery import TOKENS, Chain, failure_of, fallback_note, provider, run

KEPT = Kept("words", "thoughts", Usage(3, 5))


def kept(chars: int) -> Kept:
    return Kept("a" * chars, "", None)


# The cache


def test_a_reply_is_found_until_its_time_is_over() -> None:
    cache = ReplyCache()
    cache.keep(b"key", KEPT, 60.0, 100.0)
    assert cache.find("main", b"key", 159.0) == (KEPT, 59.0)
    assert cache.find("main", b"another", 159.0) is None
    assert cache.find("main", b"key", 160.0) is None
    assert cache.bytes == 0
    assert (cache.hits["main"], cache.misses["main"]) == (1, 2)


def test_the_least_recently_used_go_when_there_is_no_room() -> None:
    size = kept(1000).bytes
    cache = ReplyCache(size * PART_OF_ONE)
    for number in range(PART_OF_ONE):
        cache.keep(b"%d" % number, kept(1000), 60.0, 0.0)
    assert cache.bytes == size * PART_OF_ONE
    assert cache.find("main", b"0", 1.0) is not None
    cache.keep(b"new", kept(1000), 60.0, 1.0)
    assert cache.bytes == size * PART_OF_ONE
    assert cache.find("main", b"1", 1.0) is None
    assert cache.find("main", b"0", 1.0) is not None


def test_its_bytes_are_those_of_the_characters() -> None:
    assert Kept("汉" * 1000, "", None).bytes > ENTRY_BYTES + 2000


def test_a_reply_that_would_take_most_of_it_is_not_kept() -> None:
    cache = ReplyCache(100_000)
    cache.keep(b"key", kept(100_000 // PART_OF_ONE), 60.0, 0.0)
    assert cache.bytes == 0


def test_the_same_question_again_replaces_its_reply() -> None:
    cache = ReplyCache()
    cache.keep(b"key", kept(10), 60.0, 0.0)
    cache.keep(b"key", KEPT, 60.0, 50.0)
    assert cache.find("main", b"key", 100.0) == (KEPT, 50.0)
    assert cache.bytes == KEPT.bytes


# What is kept under which key

ASKED = ChatRequest("m", (Turn("system", "s"), Turn("user", "q")), Params(temperature=0.0))


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, model="n"),
        replace(ASKED, turns=(Turn("user", "q"),)),
        replace(ASKED, turns=(Turn("user", "s"), Turn("user", "q"))),
        replace(ASKED, params=Params(temperature=0.0, top_p=0.5)),
        replace(ASKED, params=Params(temperature=0.0, max_tokens=5)),
    ],
)
def test_another_question_has_another_key(other: ChatRequest) -> None:
    assert key_of("main", ASKED) != key_of("main", other)
    assert key_of("main", ASKED) != key_of("spare", ASKED)
    assert key_of("main", ASKED) == key_of("main", replace(ASKED, user="somebody"))
    assert key_of("main", ASKED, personal=True) != key_of("main", replace(ASKED, user="somebody"), personal=True)


@pytest.mark.parametrize(
    ("request_", "deterministic"),
    [
        (ASKED, True),
        (replace(ASKED, params=Params()), False),
        (replace(ASKED, params=Params(temperature=0.1)), False),
        (replace(ASKED, turns=(Turn("user", "q", (Picture("image/png", b"x"),)),)), False),
        (replace(ASKED, left_out=1), False),
    ],
)
def test_only_a_whole_question_of_words_without_chance_is_deterministic(
    request_: ChatRequest, deterministic: bool
) -> None:
    assert is_deterministic(request_) is deterministic


# Over a real upstream


def asked(
    cache: ReplyCache | None, chain: Chain, main: Provider, tell: Callable[[Note], None], temperature: float | None = 0
) -> object:
    model = main.models[0]
    request = replace(question(model.id), params=Params(temperature=temperature))
    return source_for(cache, chain, main, model, request, NO_RUN, tell)


async def ask(cache: ReplyCache | None, chain: Chain, main: Provider, **more: float | None) -> tuple[Reply, list[Note]]:
    reply, told = Reply(), list[Note]()
    source = asked(cache, chain, main, told.append, **more)
    await run(source, reply)  # type: ignore[arg-type]
    return reply, told


async def test_the_same_question_is_answered_again_without_the_upstream(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, cache_seconds=60.0, concurrency=1)
    cache, chain = ReplyCache(), Chain(main)
    first, told = await ask(cache, chain, main)
    assert (first.text, told) == (TOKENS, [])
    chain.open_breaker_of(main)
    second, told = await ask(cache, chain, main)
    assert told == [Note("cached", {"seconds": 0})]
    assert (second.text, second.usage, second.finishes) == (first.text, first.usage, first.finishes)
    assert len(spark_simulator.connections) == 1
    assert (cache.hits["main"], cache.misses["main"]) == (1, 1)


@pytest.mark.parametrize(
    ("seconds", "temperature", "cached"), [(60.0, 0.7, True), (60.0, None, True), (0.0, 0, True), (60.0, 0, False)]
)
async def test_what_is_not_to_be_kept_is_asked_again(
    spark_simulator: SparkSimulator, seconds: float, temperature: float | None, cached: bool
) -> None:
    main = provider(spark_simulator, cache_seconds=seconds)
    cache, chain = ReplyCache() if cached else None, Chain(main)
    for _ in range(2):
        reply, told = await ask(cache, chain, main, temperature=temperature)
        assert (reply.text, told) == (TOKENS, [])
    assert len(spark_simulator.connections) == 2


@pytest.mark.parametrize(("personal", "asked_times"), [(True, 2), (False, 1)])
async def test_an_answer_of_who_is_told_who_asks_is_that_users_own(
    spark_simulator: SparkSimulator, personal: bool, asked_times: int
) -> None:
    main = provider(spark_simulator, cache_seconds=60.0)
    main.personal = personal
    cache, chain = ReplyCache(), Chain(main)
    for user in ("one", "another", "one"):
        request = replace(question("tokens-3-0"), params=Params(temperature=0.0), user=user)
        reply = Reply()
        await run(source_for(cache, chain, main, main.models[0], request, NO_RUN, lambda note: None), reply)
        assert reply.text == TOKENS
    assert len(spark_simulator.connections) == asked_times


def test_who_tells_the_user_to_what_may_answer_by_it_is_personal() -> None:
    personal = {kind for kind, adapter in KINDS.items() if adapter.personal}  # type: ignore[attr-defined]
    assert personal == {"agno", "baidu_agents", "websocket_json"}


async def test_a_fallbacks_answer_is_not_kept(spark_simulator: SparkSimulator, other_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-400", fallback=("spare",), cache_seconds=60.0)
    cache, chain = ReplyCache(), Chain(main, provider(other_simulator, "spare", cache_seconds=60.0))
    for _ in range(2):
        reply, told = await ask(cache, chain, main)
        assert (reply.text, told) == (TOKENS, [fallback_note("fault-400")])
    assert (len(other_simulator.connections), cache.bytes) == (2, 0)


async def test_an_answer_to_a_part_of_the_conversation_is_not_kept(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, cache_seconds=60.0, context=16)
    cache, chain = ReplyCache(), Chain(main)
    turns = (Turn("user", "a" * 100), Turn("assistant", "b"), Turn("user", "c"))
    request = replace(question("tokens-3-0"), turns=turns, params=Params(temperature=0.0))
    told = list[Note]()
    source = source_for(cache, chain, main, main.models[0], request, NO_RUN, told.append)
    await run(source, Reply())
    assert told == [Note("trimmed", {"left_out": 2})]
    assert cache.bytes == 0


async def test_a_failure_is_not_kept(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-no-end-mark", cache_seconds=60.0)
    cache, chain = ReplyCache(), Chain(main)
    await failure_of(asked(cache, chain, main, lambda note: None))  # type: ignore[arg-type]
    assert cache.bytes == 0


# The replay

LONG = Kept("word " * 2000, "thought " * 100, Usage(7, 11))


def replayed(
    simulator: SparkSimulator, pace: StreamPace, tell: Callable[[Note], None] = lambda note: None, age: float = 0.0
) -> ReplayedSource:
    main = provider(simulator)
    return ReplayedSource(LONG, age, main, main.models[0], pace, tell)


async def test_a_replay_tells_how_old_it_is_and_who_has_answered(spark_simulator: SparkSimulator) -> None:
    told, clock = list[Note](), Clock(interval=0.001)
    source = replayed(spark_simulator, StreamPace(clock), told.append, age=5.9)
    await source.stream(lambda events: None)
    assert told == [Note("cached", {"seconds": 5})]
    assert (source.provider, source.model, source.upstream) == ("main", "tokens-3-0", "websocket")


async def test_a_long_reply_comes_in_a_bounded_number_of_pieces(spark_simulator: SparkSimulator) -> None:
    reads: list[Sequence[ProviderEvent]] = []
    clock = Clock(interval=0.001)
    source = replayed(spark_simulator, StreamPace(clock))
    await source.stream(reads.append)
    reply = Reply([event for events in reads for event in events])
    assert (reply.text, reply.reasoning, reply.usage) == (LONG.text, LONG.reasoning, LONG.usage)
    assert isinstance(reply.events[-1], Finish)
    assert PIECES < len(reads) <= 2 * PIECES + 1


async def test_a_paused_replay_gives_nothing_until_it_is_resumed(spark_simulator: SparkSimulator) -> None:
    clock = Clock(interval=0.001)
    pace, reply = StreamPace(clock), Reply()
    source = replayed(spark_simulator, pace)
    replaying = asyncio.create_task(source.stream(reply.events.extend))
    await until(lambda: reply.events)
    pace.started = True
    pace.paused = True
    await asyncio.sleep(0.1)  # one piece may have been on its way
    before = len(reply.events)
    await asyncio.sleep(0.1)
    assert len(reply.events) == before
    assert not reply.finishes
    pace.unpause()
    await replaying
    assert reply.text == LONG.text
    clock.close()


async def test_a_replay_can_be_stopped(spark_simulator: SparkSimulator) -> None:
    reply = Reply()
    source = replayed(spark_simulator, StreamPace(Clock()))
    replaying = asyncio.create_task(source.stream(reply.events.extend))
    await until(lambda: reply.events)
    replaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replaying
    assert not reply.finishes
