"""Retries and fallbacks, against simulated upstreams over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from chat.errors import ErrorCode
from chat.simulators.script import FAULT_TEXT
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, until
from tests.providers.recovery import TOKENS, Chain, failure_of, provider, run, source_of

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
