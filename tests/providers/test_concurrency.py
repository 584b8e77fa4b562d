"""Providers that take so many at a time: who waits, who is refused, and that every way out frees the slot."""

from __future__ import annotations

import asyncio

import pytest

from chat.errors import ErrorCode
from chat.events import Note
from chat.providers.resilience.slot import QUEUE_FULL
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, until
from tests.providers.recovery import (
    ENDLESS,
    LONG,
    SOON,
    TOKENS,
    Chain,
    Started,
    failure_of,
    fallback_note,
    limited,
    provider,
    run,
    source_of,
    started,
)

__all__ = ["started"]


async def test_the_next_begins_when_one_has_gone(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator)
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    first = started(source_of(chain, main))
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    started(source_of(chain, main, tell=told.append))
    await until(lambda: told)
    assert told == [Note("queued", {"position": 1})]
    assert (admission.running, admission.waiting, spark_simulator.requests[ENDLESS]) == (1, 1, 1)
    first.cancel()
    await until(lambda: spark_simulator.requests[ENDLESS] == 2)
    assert (admission.running, admission.waiting) == (1, 0)


async def test_one_users_many_do_not_keep_anothers_one_back(spark_simulator: SparkSimulator) -> None:
    main = limited(spark_simulator, "tokens-3-0")
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    holder = admission.enter("many", 0.0, lambda: None, lambda place: None)
    assert holder is not None
    many = [asyncio.create_task(run(source_of(chain, main, user="many"), Reply())) for _ in range(20)]
    await until(lambda: admission.waiting == 20)
    one = asyncio.create_task(run(source_of(chain, main, user="one", tell=told.append), Reply()))
    await until(lambda: told)
    assert told == [Note("queued", {"position": 2})]
    admission.leave(holder, 0.0)
    await asyncio.gather(one, *many)
    asked = [record.request["header"]["uid"] for record in spark_simulator.connections]
    assert asked == ["many", "one", *["many"] * 19]
    assert told == [Note("queued", {"position": place}) for place in (2, 0)], "its first place was its turn"


async def test_a_full_queue_refuses_in_its_own_words(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator, queue=0)
    chain = Chain(main)
    started(source_of(chain, main))
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    refusal = await failure_of(source_of(chain, main))
    assert refusal.error_code is ErrorCode.UPSTREAM_RATE_LIMITED
    assert refusal.message == QUEUE_FULL
    assert refusal.retryable
    assert refusal.details == {"provider": "main", "queue": 0}
    assert chain.breaker_of(main)._failures == 0, "nobody was asked"


async def test_a_full_queue_sends_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator, queue=0, fallback=("spare",))
    chain = Chain(main, provider(other_simulator, "spare"))
    started(source_of(chain, main))
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    told, reply = list[Note](), Reply()
    source = source_of(chain, main, tell=told.append)
    await run(source, reply)
    assert (source.provider, reply.text) == ("spare", TOKENS)
    assert told == [fallback_note(ENDLESS)]


async def test_the_wait_does_not_count_against_the_first_token(
    spark_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator, first_token=SOON, total=LONG)
    chain, told = Chain(main), list[Note]()
    first = started(source_of(chain, main))
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    waiting = started(source_of(chain, main, tell=told.append))
    await until(lambda: told)
    await asyncio.sleep(2 * SOON)
    assert not waiting.done()
    first.cancel()
    await until(lambda: spark_simulator.requests[ENDLESS] == 2)


@pytest.mark.parametrize("model", ["tokens-3-0", "fault-400", "fault-cut", "fault-silence", "fault-empty"])
async def test_every_way_out_frees_the_slot(spark_simulator: SparkSimulator, model: str) -> None:
    main = limited(spark_simulator, model, first_token=SOON)
    chain = Chain(main)
    admission = chain.admission_of(main)
    for _ in range(2):
        await asyncio.gather(run(source_of(chain, main), Reply()), return_exceptions=True)
        assert (admission.running, admission.waiting) == (0, 0)
    assert spark_simulator.requests[model] == 2


async def test_what_whoever_takes_raises_frees_the_slot(spark_simulator: SparkSimulator) -> None:
    main = limited(spark_simulator)
    chain = Chain(main)
    admission = chain.admission_of(main)

    def full(events: object) -> None:
        raise BufferError

    with pytest.raises(BufferError):
        await source_of(chain, main).stream(full)
    assert admission.running == 0


async def test_a_stop_frees_the_slot_and_the_place(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator)
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    running = started(source_of(chain, main))
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    waiting = started(source_of(chain, main, tell=told.append))
    await until(lambda: told)
    waiting.cancel()
    await until(lambda: admission.waiting == 0)
    running.cancel()
    await until(lambda: admission.running == 0)


async def test_the_pause_before_a_retry_holds_no_slot(spark_simulator: SparkSimulator) -> None:
    flaky = limited(spark_simulator, "fault-500-x1", retries=1)
    chain = Chain(flaky)
    admission = chain.admission_of(flaky)
    reply = Reply()
    retrying = asyncio.create_task(run(source_of(chain, flaky), reply))
    await until(lambda: spark_simulator.requests["fault-500-x1"] == 1 and admission.running == 0)
    assert not retrying.done()
    await until(lambda: reply.text)
    retrying.cancel()
    await asyncio.wait([retrying])
    assert admission.running == 0
