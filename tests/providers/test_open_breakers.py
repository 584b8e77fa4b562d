"""Breakers between requests and a simulated upstream: who is passed over, who tries, and who is refused."""

from __future__ import annotations

import asyncio

from chat.errors import ErrorCode
from chat.providers.resilience.breaker import COOL_DOWN, FAILURES, Breaker, BreakerState
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, until
from tests.providers.recovery import SOON, TOKENS, Chain, failure_of, provider, run, source_of

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def cool_down(breaker: Breaker) -> None:
    """As if the time had passed."""
    breaker._cool_from -= COOL_DOWN


async def test_failures_in_a_row_open_it_and_a_recovered_upstream_closes_it(spark_simulator: SparkSimulator) -> None:
    model = f"fault-500-x{FAILURES}"
    main = provider(spark_simulator, model=model, retries=0)
    chain = Chain(main)
    for _ in range(FAILURES):
        assert chain.breaker_of(main).state is CLOSED
        await failure_of(source_of(chain, main))
    assert chain.breaker_of(main).state is OPEN
    source, reply = source_of(chain, main), Reply()
    reading = asyncio.create_task(run(source, reply))
    await until(lambda: reply.text)
    assert chain.breaker_of(main).state is CLOSED, "its first token is enough"
    reading.cancel()
    await asyncio.wait([reading])


async def test_an_open_breaker_sends_everybody_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, fallback=("spare",))
    chain = Chain(main, provider(other_simulator, "spare"))
    chain.open_breaker_of(main)
    source = source_of(chain, main)
    await run(source, Reply())
    assert (source.provider, len(spark_simulator.connections)) == ("spare", 0)


async def test_after_the_cool_down_one_request_tries_it_and_the_others_still_go_elsewhere(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-silence", fallback=("spare",))
    chain = Chain(main, provider(other_simulator, "spare"))
    breaker = chain.open_breaker_of(main)
    cool_down(breaker)
    probing = asyncio.create_task(run(source_of(chain, main), Reply()))
    await until(lambda: breaker.state is HALF_OPEN)
    source = source_of(chain, main)
    await run(source, Reply())
    assert source.provider == "spare"
    assert spark_simulator.requests["fault-silence"] <= 1
    probing.cancel()
    await asyncio.wait([probing])
    assert breaker.state is OPEN, "a stop says nothing about the upstream"
    assert breaker.admits(asyncio.get_running_loop().time(), alone=False), "the next may try"


async def test_a_probe_that_fails_opens_it_anew_and_goes_on_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-500", retries=0, fallback=("spare",))
    chain = Chain(main, provider(other_simulator, "spare"))
    breaker = chain.open_breaker_of(main)
    cool_down(breaker)
    source = source_of(chain, main)
    await run(source, Reply())
    assert source.provider == "spare"
    assert spark_simulator.requests["fault-500"] == 1
    assert breaker.state is OPEN
    assert not breaker.admits(asyncio.get_running_loop().time(), alone=False)


async def test_questions_that_are_rejected_do_not_open_it(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-400")
    chain = Chain(main)
    for _ in range(FAILURES + 1):
        await failure_of(source_of(chain, main))
    assert chain.breaker_of(main).state is CLOSED


async def test_a_question_that_is_rejected_gives_the_probe_back(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-400")
    chain = Chain(main)
    breaker = chain.open_breaker_of(main)
    assert (await failure_of(source_of(chain, main))).error_code is ErrorCode.UPSTREAM_REJECTED
    assert breaker.state is OPEN
    assert breaker.admits(asyncio.get_running_loop().time(), alone=True)


async def test_whoever_has_nobody_else_is_let_through_at_once(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator)
    chain, reply = Chain(main), Reply()
    chain.open_breaker_of(main)
    await run(source_of(chain, main), reply)
    assert reply.text == TOKENS
    assert chain.breaker_of(main).state is CLOSED


async def test_without_anybody_else_the_others_are_refused_at_once_while_one_tries(
    spark_simulator: SparkSimulator,
) -> None:
    main = provider(spark_simulator, model="fault-silence", retries=0)
    chain = Chain(main)
    breaker = chain.open_breaker_of(main)
    probing = asyncio.create_task(run(source_of(chain, main), Reply()))
    await until(lambda: spark_simulator.requests["fault-silence"])
    for _ in range(3):
        refusal = await failure_of(source_of(chain, main))
        assert refusal.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
        assert refusal.retryable
        assert refusal.details == {"provider": "main", "breaker": "open"}
    assert spark_simulator.requests["fault-silence"] == 1
    assert breaker.state is HALF_OPEN
    probing.cancel()
    await asyncio.wait([probing])


async def test_a_silent_probe_is_a_timeout_that_opens_it_anew(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-silence", first_token=SOON)
    chain = Chain(main)
    breaker = chain.open_breaker_of(main)
    assert (await failure_of(source_of(chain, main))).error_code is ErrorCode.UPSTREAM_TIMEOUT
    assert (breaker.state, breaker.last_failure) == (OPEN, ErrorCode.UPSTREAM_TIMEOUT)


async def test_a_total_that_is_over_before_the_first_token_counts(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-silence", total=SOON)
    chain = Chain(main)
    error = await failure_of(source_of(chain, main))
    assert (error.error_code, error.details["timeout"]) == (ErrorCode.UPSTREAM_TIMEOUT, "total")
    assert chain.breaker_of(main)._failures == 1


async def test_a_total_that_is_over_after_the_first_token_does_not_count(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-stall", total=SOON)
    chain = Chain(main)
    assert (await failure_of(source_of(chain, main))).details["timeout"] == "total"
    assert chain.breaker_of(main)._failures == 0


async def test_where_all_are_open_whoever_asks_is_alone(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-500", retries=0, fallback=("spare",))
    spare = provider(other_simulator, "spare")
    chain = Chain(main, spare)
    chain.open_breaker_of(main)
    chain.open_breaker_of(spare)
    source, reply = source_of(chain, main), Reply()
    await run(source, reply)
    assert (source.provider, reply.text) == ("spare", TOKENS)
    assert spark_simulator.requests["fault-500"] == 1


async def test_each_model_has_its_own(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator)
    chain = Chain(main)
    breaker, now = chain.breaker("main", "another"), asyncio.get_running_loop().time()
    for _ in range(FAILURES):
        passage = breaker.enter(now, alone=True)
        assert passage is not None
        passage.failed(ErrorCode.UPSTREAM_UNAVAILABLE, now)
    assert breaker.state is OPEN
    await asyncio.gather(*(run(source_of(chain, main), Reply()) for _ in range(3)))
