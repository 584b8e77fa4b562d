"""What a reader is told beside the text: who answers in place of another, and what was left out for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode
from chat.events import Note, ProviderEvent
from chat.observation import NO_RUN
from chat.providers.base import ChatRequest, Counted, Model, Params, Profile, Turn
from chat.providers.openai_chat import OpenAIChat
from chat.providers.resilience.cached_source import source_for
from chat.providers.resilience.reply_cache import ReplyCache
from chat.simulators.spark import SparkSimulator
from tests.providers.conftest import API_KEY, Reply, question
from tests.providers.openai_upstream import DONE, STOPPED, answer, block, delta
from tests.providers.raw_upstream import RawUpstream
from tests.providers.recovery import SOON, TOKENS, Chain, failure_of, fallback_note, provider, run, source_of

PAIR = (Turn("user", "a" * 400), Turn("assistant", "b" * 400))
"""Two hundred tokens and eight."""


def long_question(model: str, pairs: int = 2, left_out: int = 0) -> ChatRequest:
    turns = (Turn("system", "s"), *PAIR * pairs, Turn("user", "How are you?"))
    return replace(question(model), turns=turns, left_out=left_out)


async def told_of(simulator: SparkSimulator, context: int | None, left_out: int, *, resumed: bool) -> list[Note]:
    main, told = provider(simulator, context=context), list[Note]()
    request = long_question("tokens-3-0", left_out=left_out)
    await run(source_of(Chain(main), main, request, tell=told.append, resumed=resumed), Reply())
    return told


@pytest.mark.parametrize("fault", ["400", "401", "429", "500", "refuse", "empty", "silence"])
async def test_who_answers_second_is_told_just_before_the_first_token(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator, fault: str
) -> None:
    main = provider(spark_simulator, model=f"fault-{fault}", retries=0, fallback=("spare",), first_token=SOON)
    heard: list[Note | ProviderEvent] = []
    source = source_of(Chain(main, provider(other_simulator, "spare")), main, tell=heard.append)
    reply = Reply(heard)  # type: ignore[arg-type]
    await run(source, reply)
    told = fallback_note(f"fault-{fault}")
    assert heard[0] == told
    assert [one for one in heard if isinstance(one, Note)] == [told]
    assert (reply.text, source.provider, source.model) == (TOKENS, "spare", "tokens-3-0")


@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["asked", "to be kept"])
async def test_a_fallback_of_another_kind_says_how_it_is_spoken_to(
    spark_simulator: SparkSimulator, client: AsyncBaseTransport, seconds: float
) -> None:
    main = provider(spark_simulator, model="fault-400", fallback=("spare",), cache_seconds=seconds)
    request, told = replace(question("fault-400"), params=Params(temperature=0.0)), list[Note]()
    async with RawUpstream(answer(block(delta("Yes")), block(STOPPED), DONE)) as upstream:
        models = (Model("m", "m"),)
        spare = OpenAIChat(Profile("spare", "spare", models), base_url=upstream.url, api_key=API_KEY, http=client)
        chain = Chain(main, spare)
        source = source_for(ReplyCache(), chain, main, main.models[0], request, NO_RUN, told.append)
        assert (source.provider, source.upstream) == ("main", "websocket"), "until somebody has answered"
        await run(source, Reply())
    assert (source.provider, source.model, source.upstream) == ("spare", "m", "sse")
    assert (told[0].details["upstream"], told[0].details["asked_upstream"]) == ("sse", "websocket")


async def test_nobody_is_told_of_a_fallback_that_has_failed_too(spark_simulator: SparkSimulator) -> None:
    main = provider(spark_simulator, model="fault-401", fallback=("spare",))
    spare, told = provider(spark_simulator, "spare", "fault-400"), list[Note]()
    error = await failure_of(source_of(Chain(main, spare), main, tell=told.append))
    assert (error.error_code, told) == (ErrorCode.UPSTREAM_AUTH, [])


async def test_what_is_more_than_the_model_takes_is_left_out_and_told(spark_simulator: SparkSimulator) -> None:
    main, told = provider(spark_simulator, context=400), list[Note]()
    await run(source_of(Chain(main), main, long_question("tokens-3-0"), tell=told.append), Reply())
    assert told == [Note("trimmed", {"left_out": 2})]
    sent = spark_simulator.connections[0].request["payload"]["message"]["text"]
    assert [turn["role"] for turn in sent if turn["role"] != "system"] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("context", "left_out", "expected"),
    [(None, 0, []), (100_000, 0, []), (None, 7, [7]), (100_000, 7, [7]), (400, 7, [9])],
)
async def test_what_had_been_left_out_before_is_counted_with_it(
    spark_simulator: SparkSimulator, context: int | None, left_out: int, expected: list[int]
) -> None:
    told = await told_of(spark_simulator, context, left_out, resumed=False)
    assert told == [Note("trimmed", {"left_out": number}) for number in expected]


async def test_only_what_the_very_model_has_counted_says_how_much_of_it_fits(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-500", retries=0, fallback=("spare",), context=1000)
    chain = Chain(main, provider(other_simulator, "spare", context=1000))
    counters = ((("main", "fault-500"), []), (("spare", "fault-500"), []), (("spare", "tokens-3-0"), [2]))
    for counter, left_out in counters:
        told, known = list[Note](), (Counted(*counter, turns=4, tokens=800), Counted("main", "other", 4, 900))
        request = replace(long_question("fault-500"), counted=known)
        await run(source_of(chain, main, request, tell=told.append), Reply())
        assert [note.details["left_out"] for note in told if note.note == "trimmed"] == left_out, counter


async def test_a_reply_that_goes_on_has_told_it_before(spark_simulator: SparkSimulator) -> None:
    assert await told_of(spark_simulator, 400, 7, resumed=True) == []


async def test_the_conversation_is_cut_for_the_model_that_answers(
    spark_simulator: SparkSimulator, other_simulator: SparkSimulator
) -> None:
    main = provider(spark_simulator, model="fault-500", retries=0, fallback=("spare",), context=400)
    spare, told = provider(other_simulator, "spare", context=20), list[Note]()
    await run(source_of(Chain(main, spare), main, long_question("fault-500"), tell=told.append), Reply())
    assert told == [Note("trimmed", {"left_out": 4}), fallback_note("fault-500")]

    spare, told = provider(other_simulator, "spare"), list[Note]()
    await run(source_of(Chain(main, spare), main, long_question("fault-500"), tell=told.append), Reply())
    assert told == [fallback_note("fault-500")], "who answers takes all of it"
