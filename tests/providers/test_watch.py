"""The deadlines of a run, and what else may happen at that moment, against a simulated upstream over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TypedDict

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Text
from chat.providers.resilience.recovering_source import RecoveringSource
from chat.simulators.script import FAULT_TEXT
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, until
from tests.providers.recovery import LONG, SOON, TOKENS, Chain, failure_of, provider, run, source_of
from tests.providers.streaming import pulled


class Limits(TypedDict, total=False):
    first_token: float
    idle: float
    total: float


async def test_silence_before_the_first_token_falls_back_in_time(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-silence", retries=0, fallback=("spare",), first_token=SOON)
    source, reply = source_of(Chain(main, provider(other_simulator, "spare")), main), Reply()
    await run(source, reply)
    assert (source.provider, reply.text) == ("spare", TOKENS)
    await until(lambda: spark_simulator.open_connections == 0)


@pytest.mark.parametrize(
    ("model", "limits", "phase", "text"),
    [
        ("fault-silence", {"first_token": SOON}, "first_token", ""),
        ("fault-stall", {"idle": SOON}, "idle", "".join(FAULT_TEXT)),
        ("fault-silence", {"total": SOON}, "total", ""),
    ],
)
async def test_a_deadline_that_passes_is_a_timeout_and_closes_the_connection(
    spark_simulator: SparkSimulator, model: str, limits: Limits, phase: str, text: str
) -> None:
    main = provider(spark_simulator, model=model, retries=0, **limits)
    reply = Reply()
    error = await failure_of(source_of(Chain(main), main), reply)
    assert (error.error_code, error.details["timeout"]) == (ErrorCode.UPSTREAM_TIMEOUT, phase)
    assert reply.text == text
    await until(lambda: spark_simulator.open_connections == 0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_total_ends_a_reply_that_never_ends_and_nobody_else_is_asked(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="tokens-100000-50", fallback=("spare",), total=SOON)
    reply = Reply()
    error = await failure_of(source_of(Chain(main, provider(other_simulator, "spare")), main), reply)
    assert error.details["timeout"] == "total"
    assert reply.text.startswith("t000001 ")
    assert not other_simulator.requests


async def test_the_total_leaves_no_room_for_a_pause_that_is_longer(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-500", retries=9, total=SOON)
    assert (await failure_of(source_of(Chain(main), main))).error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert spark_simulator.requests["fault-500"] == 1


async def test_a_slow_reply_within_its_limits_is_left_alone(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-slow", first_token=1.0, idle=1.0)
    reply = Reply()
    await run(source_of(Chain(main), main), reply)
    assert reply.text == "".join(FAULT_TEXT)


async def test_a_suspended_run_has_no_deadlines_until_it_goes_on(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-stall", retries=0, idle=SOON, total=LONG)
    source, reply = source_of(Chain(main), main), Reply()
    reading = asyncio.create_task(run(source, reply))
    await until(lambda: reply.text)
    source.watch.suspend()
    await asyncio.sleep(3 * SOON)
    assert not reading.done()
    source.watch.resume()
    with pytest.raises(UpstreamError) as failure:
        await reading
    assert failure.value.details["timeout"] == "idle"


# Other people's cancellations


@pytest.mark.parametrize("first", ["deadline", "cancellation"])
async def test_a_cancellation_at_the_moment_of_a_deadline_stays_a_cancellation(
    spark_simulator: SparkSimulator, first: str
) -> None:
    main = provider(spark_simulator, model="fault-silence", first_token=SOON)
    source = source_of(Chain(main), main)
    reading = asyncio.create_task(_read_on(source))
    await until(lambda: spark_simulator.requests["fault-silence"] == 1)
    late = asyncio.get_running_loop().time() + LONG / 2
    if first == "deadline":
        source.watch.check(late)
        reading.cancel()
    else:
        reading.cancel()
        source.watch.check(late)
    _ended, going_on = await asyncio.wait([reading], timeout=5)
    if going_on:
        reading.cancel()
    assert not going_on
    assert reading.cancelled()
    assert reading.cancelling() == 1
    await until(lambda: spark_simulator.open_connections == 0)


async def test_leaving_the_run_closes_the_attempt(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="tokens-100000-50")
    async with aclosing(pulled(source_of(Chain(main), main).stream)) as events:
        async for event in events:
            if isinstance(event, Text):
                break
    await until(lambda: spark_simulator.open_connections == 0)


async def _read_on(source: RecoveringSource) -> None:
    await source.stream(_forget)


def _forget(events: object) -> None:
    """What is said does not matter here."""
