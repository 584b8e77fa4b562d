"""Retries, fallbacks and breakers, against simulated upstreams over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.providers.breaker import COOL_DOWN, FAILURES, Breaker
from chat.providers.resilience import delay_before
from chat.simulators.script import FAULT_TEXT
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, until
from tests.providers.recovery import TOKENS, Chain, failure_of, provider, run, source_of

# The policy


def test_the_backoff_doubles_up_to_its_cap_less_some_chance() -> None:
    error = UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
    assert [delay_before(n, error, lambda: 0.0) for n in (1, 2, 3, 4, 5, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert delay_before(1, error, lambda: 1.0) == 0.375


@pytest.mark.parametrize(("retry_after", "delay"), [(0.0, 0.0), (7.0, 7.0), (30.0, 30.0), (30.1, None), (3600.0, None)])
def test_an_upstream_that_names_its_patience_is_obeyed_up_to_a_limit(retry_after: float, delay: float | None) -> None:
    error = UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, attempt_again=True, retry_after=retry_after)
    assert delay_before(1, error) == delay


def test_what_will_not_help_is_not_tried_again() -> None:
    assert delay_before(1, UpstreamError(ErrorCode.UPSTREAM_REJECTED)) is None


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_through_after_a_while() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(ErrorCode.UPSTREAM_TIMEOUT, 0.0)
    breaker.answered()
    for _ in range(FAILURES - 1):
        breaker.failed(ErrorCode.UPSTREAM_UNAVAILABLE, 0.0)
        breaker.failed(ErrorCode.UPSTREAM_REJECTED, 0.0)
    assert breaker.allows(0.0)
    breaker.failed(ErrorCode.UPSTREAM_UNAVAILABLE, 0.0)
    assert breaker.open
    assert not breaker.allows(COOL_DOWN - 1)
    assert [breaker.allows(COOL_DOWN), breaker.allows(COOL_DOWN)] == [True, False]
    breaker.answered()
    assert breaker.allows(COOL_DOWN)


# Retries


@pytest.mark.parametrize("fault", ["500", "429", "refuse"])
async def test_a_failure_before_the_first_token_is_tried_again(spark_simulator: SparkSimulator, fault: str) -> None:
    model = f"fault-{fault}-x1"
    main = provider(spark_simulator, model=model)
    source, reply = source_of(Chain(main), main), Reply()
    reading = asyncio.create_task(run(source, reply))
    await until(lambda: reply.text)
    reading.cancel()
    await asyncio.wait([reading])
    assert spark_simulator.requests[model] == 2


async def test_there_are_no_more_attempts_than_allowed(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-500", retries=1)
    assert (await failure_of(source_of(Chain(main), main))).error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert spark_simulator.requests["fault-500"] == 2


@pytest.mark.parametrize("fault", ["400", "401", "filtered", "empty"])
async def test_a_refusal_is_not_tried_again(spark_simulator: SparkSimulator, fault: str) -> None:
    main = provider(spark_simulator, model=f"fault-{fault}")
    await failure_of(source_of(Chain(main), main))
    assert spark_simulator.requests[f"fault-{fault}"] == 1


@pytest.mark.parametrize("fault", ["cut", "error-frame", "no-end-mark"])
async def test_after_the_first_token_nothing_is_tried_again(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator, fault: str
) -> None:
    main = provider(spark_simulator, model=f"fault-{fault}", fallback=("spare",))
    source, reply = source_of(Chain(main, provider(other_simulator, "spare")), main), Reply()
    await failure_of(source, reply)
    assert reply.text == "".join(FAULT_TEXT)
    assert spark_simulator.requests[f"fault-{fault}"] == 1
    assert not other_simulator.requests
    assert source.provider == "main"


# Fallbacks


@pytest.mark.parametrize("fault", ["500", "refuse", "400", "401", "empty"])
async def test_a_fallback_answers_with_its_first_model(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator, fault: str
) -> None:
    main = provider(spark_simulator, model=f"fault-{fault}", retries=0, fallback=("spare",))
    source, reply = source_of(Chain(main, provider(other_simulator, "spare")), main), Reply()
    await run(source, reply)
    assert reply.text == TOKENS
    assert (source.provider, source.model) == ("spare", "tokens-3-0")
    assert len(reply.finishes) == 1


async def test_fallbacks_are_tried_in_their_order(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-400", retries=0, fallback=("first", "second"))
    first = provider(spark_simulator, "first", "fault-refuse", retries=0)
    source, reply = source_of(Chain(main, first, provider(other_simulator, "second")), main), Reply()
    await run(source, reply)
    assert (source.provider, reply.text) == ("second", TOKENS)
    assert spark_simulator.requests == {"fault-400": 1, "fault-refuse": 1}


async def test_refused_content_is_not_offered_to_the_next(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-filtered", fallback=("spare",))
    error = await failure_of(source_of(Chain(main, provider(other_simulator, "spare")), main))
    assert error.error_code is ErrorCode.CONTENT_FILTERED
    assert not other_simulator.requests


async def test_when_all_fail_the_chosen_providers_failure_is_the_answer(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-429", retries=0, fallback=("spare",))
    spare = provider(spark_simulator, "spare", "fault-401", retries=0)
    source = source_of(Chain(main, spare), main)
    assert (await failure_of(source)).error_code is ErrorCode.UPSTREAM_RATE_LIMITED
    assert source.provider == "main"


async def test_an_open_breaker_sends_everybody_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, fallback=("spare",))
    chain = Chain(main, provider(other_simulator, "spare"))
    for _ in range(FAILURES):
        chain.breaker("main").failed(ErrorCode.UPSTREAM_UNAVAILABLE, asyncio.get_running_loop().time())
    source = source_of(chain, main)
    await run(source, Reply())
    assert (source.provider, len(spark_simulator.connections)) == ("spare", 0)


async def test_an_open_breaker_without_a_fallback_forbids_nothing(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator)
    chain, reply = Chain(main), Reply()
    for _ in range(FAILURES):
        chain.breaker("main").failed(ErrorCode.UPSTREAM_UNAVAILABLE, asyncio.get_running_loop().time())
    await run(source_of(chain, main), reply)
    assert reply.text == TOKENS
    assert not chain.breaker("main").open
