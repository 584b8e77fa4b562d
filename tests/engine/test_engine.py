"""A generation's way through the engine: from its start over its events to what is stored of it."""

from __future__ import annotations

import asyncio

import pytest

from chat.engine.clock import StreamPace
from chat.errors import ErrorCode
from chat.events import Status, Tell, Text
from chat.observation import Run
from chat.providers.base import Take, Timeouts
from chat.providers.resilience.watch import Watch
from chat.simulators.script import FAULT_TEXT
from tests.engine.conftest import MakeRig, Rig, data_of, text_of, until

WORDS = "".join(FAULT_TEXT)


def tokens(count: int) -> str:
    return "".join(f"t{number:06d} " for number in range(1, count + 1))


@pytest.mark.parametrize("provider", ["sse", "websocket"])
async def test_a_reply_arrives_whole_numbered_and_stored(rig: Rig, provider: str) -> None:
    generation = rig.start("tokens-500-0", provider=provider)
    entries = await rig.events(generation)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0].event == "start"
    assert data_of(entries[0]) == {
        "generation": generation,
        "conversation": "c",
        "user_message": "m1",
        "message": "m2",
        "provider": provider,
        "model": "tokens-500-0",
        "upstream": provider,
    }
    assert text_of(entries) == tokens(500)
    final = data_of(entries[-1])
    assert (final["isFinal"], final["delta"], final["finish_reason"]) == (True, "", "stop")
    assert final["text"] == tokens(500)
    assert final["usage"] == {"input_tokens": 3, "output_tokens": 500, "estimated": False}
    record = rig.store.records[generation]
    assert (record.status, record.text, record.seq) == (Status.COMPLETED, tokens(500), entries[-1].seq)
    assert record.ending is not None
    assert (record.ending.provider, record.ending.model) == (provider, "tokens-500-0")
    assert record.first_token_ms is not None


async def test_tokens_that_come_together_leave_together(rig: Rig) -> None:
    entries = await rig.events(rig.start("tokens-3000-0"))
    assert len(entries) < 300


async def test_the_start_event_is_there_at_once(rig: Rig) -> None:
    generation = rig.start("tokens-1-0")
    stream = await rig.log.find(generation)
    assert stream is not None
    assert [entry.event for entry in stream.after(0, 1000)] == ["start"]
    assert rig.engine.is_live(generation)
    await rig.engine.ended(generation)


async def test_generations_at_the_same_time_do_not_mix(rig: Rig) -> None:
    started = [rig.start(f"tokens-{count}-0", provider=p) for count in range(20, 30) for p in ("sse", "websocket")]
    replies = await asyncio.gather(*(rig.events(generation) for generation in started))
    assert [text_of(entries) for entries in replies] == [tokens(count) for count in range(20, 30) for _ in range(2)]


async def test_it_counts_what_is_live_by_account(rig: Rig) -> None:
    mine = [rig.start("tokens-1000-50", account="me") for _ in range(2)]
    theirs = rig.start("tokens-1000-50", account="them")
    assert [rig.engine.live_of(account) for account in ("me", "them", "nobody")] == [2, 1, 0]
    await rig.engine.stop(mine[0])
    await rig.engine.stop(theirs)
    await until(lambda: rig.engine.live_of("me") == 1 and rig.engine.live_of("them") == 0)
    assert [rig.engine.is_live(generation) for generation in (*mine, theirs)] == [False, True, False]


# Following


async def test_readers_come_early_and_late_and_from_any_cursor_and_see_the_same(rig: Rig) -> None:
    generation = rig.start("tokens-60-200")
    early = await rig.follow(generation)
    await until(lambda: len(early.entries) > 3)
    late, resumed = await rig.follow(generation), await rig.follow(generation, after=2)
    await asyncio.gather(early.done, late.done, resumed.done)
    assert late.entries == early.entries
    assert resumed.entries == early.entries[2:]
    assert early.text == tokens(60)
    assert await rig.events(generation) == early.entries, "also once it has ended"


async def test_an_old_cursor_of_a_live_generation_gets_a_snapshot_and_then_the_rest(make_rig: MakeRig) -> None:
    rig = await make_rig(stream_bytes=2000)
    generation = rig.start("tokens-600-400")
    stream = await rig.log.find(generation)
    assert stream is not None
    await until(lambda: stream.first > 2)
    client = await rig.follow(generation, after=1)
    await asyncio.wait_for(client.done, 20)
    assert [entry.event for entry in client.entries].count("snapshot") == 1
    first, second = client.entries[:2]
    assert first.event == "snapshot"
    assert data_of(first)["status"] == "streaming"
    assert second.seq == first.seq + 1
    assert client.text == tokens(600)


async def test_what_the_log_does_not_hold_cannot_be_followed(make_rig: MakeRig) -> None:
    rig = await make_rig(stream_bytes=1500)
    reader = rig.engine.readers.open(lambda: None)
    assert not await rig.engine.follow(reader, "nobody's", 0)
    generation = rig.start("tokens-100-0")
    await rig.engine.ended(generation)
    assert not await rig.engine.follow(reader, generation, 0), "ended, and its beginning is gone"
    stream = await rig.log.find(generation)
    assert stream is not None
    assert await rig.engine.follow(reader, generation, stream.last - 1)
    rig.engine.readers.close(reader)


# Saving and the commit


async def test_what_was_logged_is_saved_while_it_goes_on(rig: Rig) -> None:
    generation = rig.start("tokens-500-100")
    record = rig.store.records[generation]
    await until(lambda: record.saves > 3 and record.text)
    assert record.status is Status.STREAMING
    assert tokens(500).startswith(record.text)
    stream = await rig.log.find(generation)
    assert stream is not None
    assert 1 < record.seq <= stream.last


async def test_saves_that_fail_lose_nothing(rig: Rig) -> None:
    rig.store.failures = 3
    generation = rig.start("tokens-40-100")
    assert text_of(await rig.events(generation)) == tokens(40)
    assert rig.store.failures == 0
    assert rig.store.records[generation].text == tokens(40)


async def test_the_terminal_event_waits_for_the_commit(rig: Rig) -> None:
    rig.store.open.clear()
    generation = rig.start("tokens-5-0")
    client = await rig.follow(generation)
    await until(lambda: rig.store.attempts)
    await asyncio.sleep(0.1)
    assert client.text == tokens(5)
    assert not client.done.done()
    assert not any(data_of(entry).get("isFinal") for entry in client.entries)
    assert rig.store.records[generation].ending is None
    rig.store.open.set()
    await asyncio.wait_for(client.done, 5)
    assert data_of(client.last)["isFinal"]
    assert rig.store.records[generation].seq == client.last.seq


async def test_a_commit_that_fails_is_tried_again(make_rig: MakeRig) -> None:
    rig = await make_rig(save_seconds=3600)
    rig.store.failures = 2
    generation = rig.start("tokens-5-0")
    entries = await rig.events(generation)
    assert data_of(entries[-1])["finish_reason"] == "stop"
    assert rig.store.attempts == 3
    assert rig.store.records[generation].status is Status.COMPLETED


async def test_a_run_that_somebody_else_has_ended_says_interrupted(rig: Rig) -> None:
    generation = rig.start("tokens-20-100")
    await until(lambda: rig.store.records[generation].text)
    rig.store.records[generation].status = Status.INTERRUPTED  # what a reaper does
    entries = await rig.events(generation)
    assert entries[-1].event == "error"
    assert data_of(entries[-1])["code"] == ErrorCode.INTERRUPTED
    assert data_of(entries[-1])["retryable"]
    assert rig.store.records[generation].ending is None


# Failures


@pytest.mark.parametrize("provider", ["sse", "websocket"])
@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("401", ErrorCode.UPSTREAM_AUTH, ""),
        ("filtered", ErrorCode.CONTENT_FILTERED, ""),
        ("empty", ErrorCode.EMPTY_REPLY, ""),
        ("cut", ErrorCode.UPSTREAM_UNAVAILABLE, WORDS),
        ("no-end-mark", ErrorCode.UPSTREAM_PROTOCOL, WORDS),
    ],
)
async def test_a_failure_is_the_last_event_and_its_text_is_stored(
    rig: Rig, provider: str, fault: str, code: ErrorCode, text: str
) -> None:
    generation = rig.start(f"fault-{fault}", provider=provider)
    entries = await rig.events(generation)
    assert (entries[-1].event, data_of(entries[-1])["code"]) == ("error", code)
    assert set(data_of(entries[-1])) == {"error", "code", "details", "retryable"}
    assert text_of(entries[:-1]) == text
    record = rig.store.records[generation]
    assert (record.status, record.text, record.seq) == (Status.FAILED, text, entries[-1].seq)


@pytest.mark.parametrize("provider", ["sse", "websocket"])
@pytest.mark.parametrize(
    ("model", "timeouts", "text"),
    [
        ("fault-silence", Timeouts(first_token=0.2), ""),
        ("fault-stall", Timeouts(idle=0.2), WORDS),
        ("tokens-1000-50", Timeouts(total=0.5), None),
    ],
    ids=["first token", "idle", "total"],
)
async def test_an_upstream_that_takes_too_long_is_given_up(
    make_rig: MakeRig, model: str, timeouts: Timeouts, text: str | None, provider: str
) -> None:
    rig = await make_rig(timeouts=timeouts)
    entries = await rig.events(rig.start(model, provider=provider))
    assert data_of(entries[-1])["code"] == ErrorCode.UPSTREAM_TIMEOUT
    assert text is None or text_of(entries[:-1]) == text
    await until(lambda: rig.simulators[provider].open_connections == 0)


async def test_a_fault_before_the_first_token_is_tried_again(make_rig: MakeRig) -> None:
    rig = await make_rig(retries=1)
    generation = rig.start("fault-429-x1")
    client = await rig.follow(generation)
    await until(lambda: client.text)
    await rig.engine.stop(generation)
    assert [entry.event for entry in client.entries].count("start") == 1
    assert rig.simulators["sse"].requests["fault-429-x1"] == 2


async def test_a_reply_over_the_bound_ends_for_its_length_and_the_upstream_is_left(make_rig: MakeRig) -> None:
    rig = await make_rig(reply_chars=100)
    entries = await rig.events(rig.start("tokens-100000-100"))
    assert data_of(entries[-1])["finish_reason"] == "length"
    assert text_of(entries) == tokens(13)[:100]
    await until(lambda: rig.simulators["sse"].open_connections == 0)


class BrokenSource:
    """A source with a bug in it."""

    provider = "sse"
    model = "broken"
    upstream = "sse"

    def __init__(self, pace: StreamPace, run: Run, tell: Tell) -> None:
        self.watch = Watch()

    async def stream(self, take: Take) -> None:
        take([Text("before ")])
        raise ZeroDivisionError("key-of-somebody")


async def test_a_fault_of_our_own_is_told_without_its_details(rig: Rig) -> None:
    generation = rig.start("demo", source=BrokenSource)
    entries = await rig.events(generation)
    assert data_of(entries[-1])["code"] == ErrorCode.GENERATION_ERROR
    assert b"key-of-somebody" not in entries[-1].data
    assert rig.store.records[generation].text == "before "
