"""The queue for a provider as its runs meet it: how long they wait, who comes again, who is paused, whom it fails."""

from __future__ import annotations

import asyncio

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Note
from chat.providers.resilience.admission import Admission, Visitor
from chat.providers.resilience.slot import QUEUE_SLOW
from chat.providers.resilience.watch import Watch
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
    limited,
    provider,
    run,
    source_of,
    started,
)

__all__ = ["started"]


def occupy(admission: Admission, user: str = "occupant") -> Visitor:
    visitor = admission.enter(user, 0.0, lambda: None, lambda place: None)
    assert visitor is not None
    return visitor


def places(told: list[Note]) -> list[int]:
    return [note.details["position"] for note in told if note.note == "queued"]


# How long one waits


class HandSet:
    """A clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


@pytest.fixture
async def clock() -> HandSet:
    return HandSet()


@pytest.fixture
async def watch(clock: HandSet) -> Watch:
    """Of a run that has begun at 0 and has 10 seconds."""
    watch = Watch()
    watch._loop = clock  # type: ignore[assignment]
    watch.begin(10.0)
    return watch


async def test_the_wait_takes_nothing_of_the_answers_time(watch: Watch, clock: HandSet) -> None:
    clock.now = 2.0
    for _wait in range(2):  # of the first attempt, and of a further one
        before = watch.remaining()
        with watch.queued(10.0, lambda paused: None):
            clock.now += 9.0
            watch.check(clock.now)
            assert watch.waiting, "nothing is late"
        assert watch.remaining() == before == 8.0


async def test_the_wait_has_a_deadline_of_its_own(watch: Watch, clock: HandSet) -> None:
    async def wait() -> None:
        with watch.queued(10.0, lambda paused: None):
            clock.now = 10.0
            watch.check(clock.now)
            await asyncio.sleep(LONG)

    with pytest.raises(UpstreamError) as failure:
        await wait()
    assert (failure.value.error_code, failure.value.details["timeout"]) == (ErrorCode.UPSTREAM_TIMEOUT, "queue")
    assert not watch.over, "somebody else may be asked"
    assert watch.remaining() == 10.0


async def test_whose_turn_does_not_come_is_told_so_and_nothing_is_held_against_the_upstream(
    spark_simulator: SparkSimulator,
) -> None:
    main = limited(spark_simulator, total=SOON)
    chain = Chain(main)
    admission = chain.admission_of(main)
    occupy(admission)
    error = await failure_of(source_of(chain, main))
    assert (error.error_code, error.message, error.retryable) == (ErrorCode.UPSTREAM_TIMEOUT, QUEUE_SLOW, True)
    assert error.details == {"provider": "main", "timeout": "queue"}
    assert admission.waiting == 0
    assert chain.breaker_of(main)._failures == 0


async def test_whose_turn_does_not_come_goes_on_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = limited(spark_simulator, total=SOON, fallback=("spare",))
    chain, reply = Chain(main, provider(other_simulator, "spare")), Reply()
    occupy(chain.admission_of(main))
    await run(source_of(chain, main), reply)
    assert reply.text == TOKENS
    assert not spark_simulator.connections


# Who comes again


async def test_a_further_attempt_is_in_front_of_all_and_finds_a_place_in_a_full_queue(
    spark_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator, "fault-500-x1", retries=1, queue=2)
    chain, told, reply = Chain(main), list[Note](), Reply()
    admission = chain.admission_of(main)
    occupant = occupy(admission)
    started(source_of(chain, main, tell=told.append), reply)
    await until(lambda: told)

    def fill() -> None:
        occupy(admission, "first")
        occupy(admission, "second")

    after = admission.enter("after", 0.0, fill, lambda place: None)
    assert after is not None
    admission.leave(occupant, 0.0)
    await until(lambda: len(told) == 3)
    assert after.admitted, "the pause before a further attempt holds no slot"
    assert admission.enter("another", 0.0, lambda: None, lambda place: None) is None, "it is full"
    assert places(told) == [1, 0, 1]
    admission.leave(after, 0.0)
    await until(lambda: reply.text)
    assert places(told) == [1, 0, 1, 0]
    assert spark_simulator.requests["fault-500-x1"] == 2


# Who is paused


async def test_who_is_paused_is_passed_over_and_keeps_its_place(
    spark_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator)
    chain = Chain(main)
    admission = chain.admission_of(main)
    occupants = [occupy(admission), occupy(admission, "second")]
    source, reply = source_of(chain, main), Reply()
    source.watch.suspend()  # before it begins to wait
    started(source, reply)
    await until(lambda: admission.waiting == 2)
    going = started(source_of(chain, main, user="v"))
    await until(lambda: admission.waiting == 3)
    admission.leave(occupants[0], 0.0)
    assert occupants[1].admitted
    admission.leave(occupants[1], 0.0)
    await until(lambda: spark_simulator.requests[ENDLESS] == 1)
    assert spark_simulator.connections[0].request["header"]["uid"] == "v"
    assert (admission.running, admission.waiting) == (1, 1)
    last = occupy(admission, "last")
    source.watch.resume()
    going.cancel()
    await until(lambda: reply.text)
    assert not last.admitted, "it has come later"


async def test_who_goes_on_after_a_pause_is_let_in_where_there_is_room(
    spark_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator, "tokens-3-0")
    chain, told, reply = Chain(main), list[Note](), Reply()
    admission = chain.admission_of(main)
    occupant = occupy(admission)
    source = source_of(chain, main, tell=told.append)
    started(source, reply)
    await until(lambda: told)
    source.watch.suspend()
    admission.leave(occupant, 0.0)
    assert (admission.running, admission.waiting) == (0, 1)
    occupant = occupy(admission)
    assert occupant.admitted, "a paused one keeps nobody out"
    admission.leave(occupant, 0.0)
    source.watch.resume()
    await until(lambda: reply.text == TOKENS)


async def test_who_is_stopped_in_a_pause_leaves_its_place(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator)
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    occupant = occupy(admission)
    source = source_of(chain, main, tell=told.append)
    waiting = started(source)
    await until(lambda: told)
    source.watch.suspend()
    waiting.cancel()
    await until(lambda: admission.waiting == 0)
    source.watch.resume()
    other = occupy(admission, "other")
    admission.leave(occupant, 0.0)
    assert other.admitted
    assert (admission.running, admission.waiting) == (1, 0)


async def test_the_time_of_a_pause_is_no_wait(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator, total=SOON)
    chain, told = Chain(main), list[Note]()
    occupy(chain.admission_of(main))
    source = source_of(chain, main, tell=told.append)
    waiting = started(source)
    await until(lambda: told)
    source.watch.suspend()
    await asyncio.sleep(2 * SOON)
    assert not waiting.done()
    source.watch.resume()
    with pytest.raises(UpstreamError):
        await waiting


# Whom it fails


@pytest.mark.parametrize("position", [1, 0])
async def test_who_cannot_be_told_its_place_frees_it(
    spark_simulator: SparkSimulator, started: Started, position: int
) -> None:
    main = limited(spark_simulator)
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    occupant = occupy(admission)

    def tell(note: Note) -> None:
        told.append(note)
        if note.details["position"] == position:
            raise BufferError

    waiting = started(source_of(chain, main, tell=tell))
    await until(lambda: told)
    admission.leave(occupant, 0.0)
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), BufferError)
    assert (admission.running, admission.waiting) == (0, 0)
    assert not spark_simulator.connections


async def test_who_cannot_be_told_is_no_matter_of_who_goes(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator)
    chain, told = Chain(main), list[Note]()
    admission = chain.admission_of(main)
    occupy(admission)
    before = occupy(admission, "before")

    def tell(note: Note) -> None:
        told.append(note)
        if note.details["position"] == 1:
            raise BufferError

    waiting = started(source_of(chain, main, tell=tell))
    await until(lambda: told)
    admission.leave(before, asyncio.get_running_loop().time() + LONG)
    await asyncio.wait([waiting])
    assert places(told) == [2, 1]
    assert isinstance(waiting.exception(), BufferError)
    assert (admission.running, admission.waiting) == (1, 0)
