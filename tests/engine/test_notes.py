"""What a reader is told beside the text: at once, in order, within a bound, over any log; and what of it is stored."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat.engine.job import Job, Resumed, Source
from chat.engine.log import EventLog
from chat.engine.memory_log import MemoryLog
from chat.engine.notes import NOTES_MOST, Notes
from chat.engine.redis_log import RedisLog
from chat.events import Finish, FinishReason, Note, StartData, Status, Tell, Text
from chat.observation import Run
from chat.providers.base import Take
from chat.providers.resilience.watch import Watch
from chat.redis.address import parse
from tests.engine.conftest import MakeRig, Rig, data_of, until
from tests.external_services import REDIS_URL, usable

TRIMMED = Note("trimmed", {"left_out": 12})
FALLBACK = Note("fallback", {"provider": "qwen", "model": "qwen-plus"})


def place(position: int) -> Note:
    return Note("queued", {"position": position})


@dataclass
class Upstream:
    """Gives what the test hands it, one after the other, and ends properly behind None."""

    tell: Tell
    provider: str = "sse"
    model: str = "demo"
    upstream: str = "sse"
    watch: Watch = field(default_factory=Watch)
    given: asyncio.Queue[Note | str | None] = field(default_factory=asyncio.Queue)

    async def stream(self, take: Take) -> None:
        while (one := await self.given.get()) is not None:
            if isinstance(one, Note):
                self.tell(one)
            else:
                take([Text(one)])
        take([Finish(FinishReason.STOP)])


def start(rig: Rig, *given: Note | str | None) -> tuple[str, Upstream]:
    """A generation, and the upstream that it reads."""
    opened: list[Upstream] = []

    def open_source(pace: Any, run: Run, tell: Tell) -> Source:
        opened.append(Upstream(tell))
        return opened[0]

    generation = rig.start("demo", source=open_source)
    for one in given:
        opened[0].given.put_nowait(one)
    return generation, opened[0]


LOGS = ["memory", *([pytest.param("redis", marks=pytest.mark.redis)] if usable(REDIS_URL) else [])]


@pytest.fixture(params=LOGS)
async def rig(request: pytest.FixtureRequest, make_rig: MakeRig) -> Rig:
    log: EventLog
    log = MemoryLog() if request.param == "memory" else RedisLog(parse(REDIS_URL), prefix=f"test-{uuid.uuid4().hex}")
    await log.open_connections()
    return await make_rig(shared_log=log)


async def test_a_note_is_told_at_once_and_is_no_token(rig: Rig) -> None:
    generation, upstream = start(rig, place(2))
    client = await rig.follow(generation)
    await until(lambda: len(client.entries) == 2)
    assert (client.last.seq, client.last.event) == (2, "note")
    assert data_of(client.last) == {"note": "queued", "details": {"position": 2}}
    await until(lambda: rig.store.records[generation].saves)
    record = rig.store.records[generation]
    assert (record.status, record.first_token_ms, record.notes) == (Status.QUEUED, None, ())
    upstream.given.put_nowait("Hello")
    await until(lambda: client.text == "Hello")
    upstream.given.put_nowait(None)
    await asyncio.wait_for(client.done, 20)
    assert [entry.seq for entry in client.entries] == list(range(1, client.last.seq + 1))


async def test_notes_stand_where_they_were_told_and_those_that_stay_are_stored(rig: Rig) -> None:
    generation, _upstream = start(rig, place(1), TRIMMED, "one", FALLBACK, "two", None)
    entries = await rig.events(generation)
    told = [(entry.event, data_of(entry).get("note") or data_of(entry).get("delta")) for entry in entries[1:-1]]
    expected = [("note", "queued"), ("note", "trimmed"), ("message", "one"), ("note", "fallback"), ("message", "two")]
    assert told == expected
    assert rig.store.records[generation].notes == [TRIMMED, FALLBACK]


async def test_notes_come_through_a_pause(rig: Rig) -> None:
    generation, upstream = start(rig, "said")
    client = await rig.follow(generation)
    await until(lambda: client.text == "said")
    assert await rig.engine.pause(generation)
    upstream.given.put_nowait(TRIMMED)
    await until(lambda: client.last.event == "note")
    assert await rig.engine.resume(generation)
    upstream.given.put_nowait(None)
    await asyncio.wait_for(client.done, 20)


async def test_notes_are_saved_while_the_reply_lasts_and_again_after_a_failed_save(rig: Rig) -> None:
    generation, upstream = start(rig)
    rig.store.failures = 2
    upstream.given.put_nowait(TRIMMED)
    await until(lambda: rig.store.records[generation].notes)
    assert rig.store.records[generation].notes == [TRIMMED]
    await rig.engine.stop(generation)
    assert rig.store.records[generation].notes == [TRIMMED]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_snapshot_has_the_notes_that_stand(make_rig: MakeRig, begun: bool) -> None:
    rig = await make_rig(stream_bytes=200)
    text = "x" * 300
    generation, upstream = start(rig, TRIMMED, place(2), place(1), *([text] if begun else []))
    stream = await rig.log.find(generation)
    assert stream is not None
    await until(lambda: stream.last == 4 + begun)
    assert stream.first > 1
    client = await rig.follow(generation)
    await until(lambda: client.entries)
    standing = [TRIMMED] if begun else [TRIMMED, place(1)]
    assert data_of(client.entries[0])["notes"] == [
        {"note": note.note, "details": dict(note.details)} for note in standing
    ]
    upstream.given.put_nowait(None)


async def test_a_reply_that_goes_on_elsewhere_keeps_its_notes(rig: Rig) -> None:
    rig.store.create("taken")
    opened: list[Upstream] = []

    def open_source(pace: Any, run: Run, tell: Tell) -> Source:
        opened.append(Upstream(tell))
        return opened[0]

    begun = StartData("taken", "c", "m1", "m2", "sse", "demo", "sse")
    resumed = Resumed("So far", "", 5, 1.0, 100, [TRIMMED])
    rig.engine.start(Job(begun, "somebody", 1, 12, open_source, lambda failure: failure.message, resumed))
    for one in (FALLBACK, " and on", None):
        opened[0].given.put_nowait(one)
    await rig.engine.ended("taken")
    assert rig.store.records["taken"].notes == [TRIMMED, FALLBACK]


@pytest.mark.redis
@pytest.mark.skipif(not usable(REDIS_URL), reason="needs Redis")
async def test_another_worker_reads_notes_too(make_rig: MakeRig) -> None:
    prefix = f"test-{uuid.uuid4().hex}"
    mine, other = [RedisLog(parse(REDIS_URL), prefix=prefix) for _ in range(2)]
    for log in (mine, other):
        await log.open_connections()
    rig = await make_rig(shared_log=mine)
    generation, upstream = start(rig, place(1), TRIMMED)
    await until(lambda: (stream := mine._memory.get(generation)) and stream.last == 3)
    mirror = await other.find(generation)
    assert mirror is not None
    assert [(entry.event, data_of(entry).get("note")) for entry in mirror.after(1, 1000)] == [
        ("note", "queued"),
        ("note", "trimmed"),
    ]
    upstream.given.put_nowait(None)
    await rig.engine.ended(generation)
    await other.aclose()


# The rules


def test_what_is_no_news_is_not_told_again() -> None:
    notes = Notes()
    assert notes.tell(TRIMMED)
    assert not notes.tell(Note("trimmed", {"left_out": 12}))
    assert notes.tell(Note("trimmed", {"left_out": 13}))
    assert [note.details["left_out"] for note in notes.standing(begun=True)] == [13]


def test_a_place_in_the_queue_stands_until_the_reply_begins() -> None:
    notes = Notes()
    notes.tell(place(2))
    notes.tell(place(1))
    assert notes.standing(begun=False) == [place(1)]
    assert notes.standing(begun=True) == []
    assert notes.take_unsaved() is None


@pytest.mark.parametrize("length", [100, 1000])
def test_of_a_long_queue_the_first_place_and_the_last_ones_are_told_and_there_is_room_for_what_stays(
    length: int,
) -> None:
    notes = Notes()
    told = [position for position in range(length, 0, -1) if notes.tell(place(position))]
    assert told[0] == length
    assert told[1:] == list(range(len(told) - 1, 0, -1))
    assert len(told) > 50
    for number in range(200):
        notes.tell(place(number + 2))
    stay = sum(notes.tell(Note("trimmed", {"left_out": number})) for number in range(200))
    assert stay > 0
    assert notes._told == NOTES_MOST
