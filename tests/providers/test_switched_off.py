"""A provider that staff switches off while replies are on their way to it."""

from __future__ import annotations

from chat.errors import ErrorCode, GenerationFailed
from chat.events import Note
from chat.observation import Attempt, Run
from chat.providers.resilience.recovering_source import RecoveringSource
from chat.providers.resilience.unasked import SwitchedOff
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import Reply, question, until
from tests.providers.recovery import TOKENS, Chain, Started, failure_of, limited, provider, run, source_of, started

__all__ = ["started"]


class OffAfter(Run):
    """Switches `main` off as soon as one attempt has ended: before the pause that follows."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        chain = self._chain

        class Off(Attempt):
            def ended(self, error: GenerationFailed | None) -> None:
                chain.off.add("main")

        return Off()


async def test_who_has_waited_for_it_goes_on_to_the_fallback(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator, started: Started
) -> None:
    main = limited(spark_simulator, "tokens-3-0", fallback=("spare",))
    chain, told, reply = Chain(main, provider(other_simulator, "spare")), list[Note](), Reply()
    admission = chain.admission_of(main)
    occupant = admission.enter("occupant", 0.0, lambda: None, lambda place: None)
    assert occupant is not None
    started(source_of(chain, main, tell=told.append), reply)
    await until(lambda: told)
    chain.off.add("main")
    admission.leave(occupant, 0.0)
    await until(lambda: reply.text == TOKENS)
    assert told[-1].note == "fallback"
    assert not spark_simulator.connections
    assert admission.running == 0


async def test_before_a_further_attempt_it_is_looked_at_again(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-500-x1", retries=2)
    chain = Chain(main)
    source = RecoveringSource(chain, main, main.models[0], question("fault-500-x1"), OffAfter(chain))
    error = await failure_of(source)
    assert error.details == {"provider": "main", "switched_off": True}
    assert spark_simulator.requests["fault-500-x1"] == 1


async def test_nobody_waits_for_a_further_attempt_at_it(spark_simulator: SparkSimulator, started: Started) -> None:
    main = limited(spark_simulator, "fault-500-x1", retries=1)
    chain = Chain(main)
    admission = chain.admission_of(main)
    before = admission.enter("before", 0.0, lambda: None, lambda place: None)
    assert before is not None
    failing = started(RecoveringSource(chain, main, main.models[0], question("fault-500-x1"), OffAfter(chain)))
    await until(lambda: admission.waiting == 1)
    admission.enter("after", 0.0, lambda: None, lambda place: None)
    admission.leave(before, 0.0)
    await until(failing.done)
    assert isinstance(failing.exception(), SwitchedOff)
    assert (admission.running, admission.waiting) == (1, 0)


async def test_when_nobody_is_left_that_is_said(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, fallback=("spare",))
    chain = Chain(main, provider(spark_simulator, "spare"))
    chain.off |= {"main", "spare"}
    error = await failure_of(source_of(chain, main))
    assert (error.error_code, error.retryable) == (ErrorCode.UPSTREAM_UNAVAILABLE, True)
    assert error.details == {"provider": "main", "switched_off": True}
    assert chain.breaker_of(main)._failures == 0
    assert not spark_simulator.connections


async def test_who_is_left_is_asked_although_its_breaker_is_open(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main, spare = provider(spark_simulator, fallback=("spare",)), provider(other_simulator, "spare")
    chain, reply = Chain(main, spare), Reply()
    chain.off.add("main")
    chain.open_breaker_of(spare)
    await run(source_of(chain, main), reply)
    assert reply.text == TOKENS
    assert not spark_simulator.connections
