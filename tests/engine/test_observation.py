"""What an engine reports of its generations to whoever observes it."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from chat.engine.clock import StreamPace
from chat.errors import GenerationFailed
from chat.events import Finish, FinishReason, StartData, Status, Tell, Text
from chat.journal import Journal
from chat.observation import Attempt, Ended, Observer, Observers, Run
from chat.providers.base import Take, Timeouts
from chat.providers.resilience.watch import Watch
from tests.engine.conftest import MakeRig


class Diary(Observer, Run, Attempt):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.gaps: list[float] = []
        self.end: Ended | None = None

    def started(self, start: StartData, account: str) -> Run:
        self.lines.append(("started", start.generation, account))
        return self

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        self.lines.append(("attempt", provider, number, fallback))
        return self

    def answered(self) -> None:
        self.lines.append(("answered",))

    def first_token(self, seconds: float) -> None:
        assert seconds > 0
        self.lines.append(("first token",))

    def gap(self, seconds: float) -> None:
        self.gaps.append(seconds)

    def ended(self, ended: Ended | GenerationFailed | None) -> None:  # type: ignore[override]
        if isinstance(ended, Ended):
            self.end = ended
            self.lines.append(("ended", ended.status))
        else:
            self.lines.append(("attempt ended", None if ended is None else ended.code))


@pytest.mark.parametrize("provider", ["sse", "websocket"])
async def test_a_good_run_is_reported_from_its_start_to_its_end(make_rig: MakeRig, provider: str) -> None:
    diary, second = Diary(), Diary()
    rig = await make_rig(observer=Observers([diary, second]))
    generation = rig.start("tokens-20-100", provider=provider)
    await rig.engine.ended(generation)
    assert diary.lines == [
        ("started", generation, "somebody"),
        ("attempt", provider, 1, False),
        ("answered",),
        ("first token",),
        ("attempt ended", None),
        ("ended", Status.COMPLETED),
    ]
    assert second.lines == diary.lines
    assert diary.end is not None
    assert diary.end.committed
    assert diary.end.provider == provider
    assert diary.end.first_token_ms is not None
    assert diary.gaps
    assert all(0 < gap < 5 for gap in diary.gaps)


class Elsewhere:
    """Somebody else answers than who was asked."""

    provider, model, upstream = "websocket", "other", "websocket"

    def __init__(self, pace: StreamPace, run: Run, tell: Tell) -> None:
        self.watch = Watch()

    async def stream(self, take: Take) -> None:
        take([Text("Yes"), Finish(FinishReason.STOP)])


async def test_who_answered_is_reported_stored_and_logged_with_how_he_is_spoken_to(make_rig: MakeRig) -> None:
    diary = Diary()
    rig = await make_rig(observer=Observers([diary, Journal()]))
    with capture_logs() as lines:
        generation = rig.start("demo", source=Elsewhere)
        await rig.engine.ended(generation)
    stored = rig.store.records[generation].ending
    assert diary.end is not None
    assert stored is not None
    for end in (diary.end, stored):
        assert (end.provider, end.model, end.upstream) == ("websocket", "other", "websocket")
    [line] = [line for line in lines if line["event"] == "generation"]
    assert (line["provider"], line["upstream"]) == ("websocket", "websocket")


async def test_each_attempt_is_reported_with_what_ended_it(make_rig: MakeRig) -> None:
    diary = Diary()
    rig = await make_rig(observer=diary, retries=2)
    generation = rig.start("fault-500-x1")
    await rig.engine.ended(generation)
    assert [line for line in diary.lines if line[0].startswith("attempt")] == [
        ("attempt", "sse", 1, False),
        ("attempt ended", "UPSTREAM_UNAVAILABLE"),
        ("attempt", "sse", 2, False),
        ("attempt ended", None),
    ]
    assert diary.end is not None
    assert diary.end.status is Status.COMPLETED


async def test_a_silence_that_lasts_is_a_gap_too(make_rig: MakeRig) -> None:
    diary = Diary()
    rig = await make_rig(observer=diary, timeouts=Timeouts(idle=1.5))
    generation = rig.start("fault-stall")
    await rig.engine.ended(generation)
    assert diary.end is not None
    assert diary.end.status is Status.FAILED
    assert max(diary.gaps) > 1.4, "nothing came after it"


async def test_a_stop_is_no_failure_of_the_attempt(make_rig: MakeRig) -> None:
    diary = Diary()
    rig = await make_rig(observer=diary)
    generation = rig.start("tokens-2000-50")
    await rig.engine.stop(generation)
    assert ("attempt ended", None) in diary.lines or not any(line[0] == "attempt" for line in diary.lines)
    assert diary.lines[-1] == ("ended", Status.CANCELLED)


async def test_a_failure_after_text_is_reported_twice_for_the_attempt_and_for_the_run(make_rig: MakeRig) -> None:
    diary = Diary()
    rig = await make_rig(observer=diary)
    generation = rig.start("fault-cut")
    await rig.engine.ended(generation)
    assert diary.end is not None
    assert diary.end.status is Status.FAILED
    assert diary.end.error is not None
    assert ("attempt ended", diary.end.error.code) in diary.lines
