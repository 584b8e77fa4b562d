"""Agno's workflows: who speaks when several do, what is never said twice, and what a workflow's end is worth."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode, UpstreamError
from chat.events import Usage
from chat.providers import agno
from chat.providers.base import Profile
from tests.providers.captured import Scene, scene_of
from tests.providers.conftest import MODELS, Reply
from tests.upstreams.capture import CAPTURES
from tests.upstreams.played import Play

CAPTURE = CAPTURES["agno"]


@pytest.fixture
async def played(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    """Every step writes the answer, but for `plan`."""
    async with scene_of(CAPTURE, caplog) as scene:
        yield scene


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'event': name, **fields})}\n\n".encode()


def said(run: str, text: str, step: str = "slow", **fields: Any) -> bytes:
    return event("RunContent", run_id=run, step_id=step, step_name=step, content=text, **fields)


def over(run: str, text: str, step: str = "slow", **fields: Any) -> bytes:
    return event("RunCompleted", run_id=run, step_id=step, step_name=step, content=text, **fields)


def result(content: Any, step: str = "query", *, success: bool = True) -> bytes:
    return event("StepOutput", step_name=step, step_output={"content": content, "step_id": step, "success": success})


def step_over(step: str = "slow") -> bytes:
    return event("StepCompleted", step_id=step, step_name=step, content="said before")


def ended(results: Sequence[Any] = (), **fields: Any) -> bytes:
    return event("WorkflowCompleted", nested_depth=0, step_results=results, **fields)


FAILED = event("RunError", run_id="1", step_id="slow", content="slow down", error_id="model_rate_limit_error")
SKIPPED = [{"success": True}, {"steps": [[{"success": False, "error": "slow down"}]], "success": True}]


async def reply_to(played: Scene, *frames: bytes) -> Reply:
    reply = await played.ask(Play(frames))
    assert len(reply.finishes) == 1
    return reply


async def failure_of(played: Scene, *frames: bytes) -> tuple[ErrorCode, str]:
    """Its code, and what was said before it."""
    reply = Reply()
    with pytest.raises(UpstreamError) as failure:
        await played.ask(Play(frames), reply=reply)
    assert reply.finishes == []
    return failure.value.error_code, reply.text


# What is tried again


async def test_a_run_that_fails_before_it_says_anything_leaves_the_floor_to_the_next(played: Scene) -> None:
    frames = [said("1", ""), FAILED, said("2", "Two"), said("2", "."), over("2", "Two."), step_over()]
    assert (await reply_to(played, *frames, ended([{"success": True}]))).text == "Two."


async def test_a_run_that_fails_after_it_has_said_something_ends_the_reply(played: Scene) -> None:
    frames = [said("1", "Tw"), FAILED, said("2", "Two."), over("2", "Two."), step_over(), ended()]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_RATE_LIMITED, "Tw")


async def test_what_a_waiting_run_had_written_before_it_failed_is_not_said(played: Scene) -> None:
    other = {"step": "fast"}
    failed = event("RunError", run_id="b", step_id="fast", content="slow down")
    again = [said("c", "Fast.", **other), over("c", "Fast.", **other), step_over("fast")]
    frames = [said("a", "Slow"), said("b", "Fa", **other), failed, *again, over("a", "Slow"), step_over(), ended()]
    assert (await reply_to(played, *frames)).text == "Slow\n\nFast."


async def test_a_step_that_has_failed_for_good_ends_the_reply_before_the_next_one_speaks(played: Scene) -> None:
    frames = [FAILED, event("StepStarted", step_id="query"), result("两 rows"), step_over("query"), ended(SKIPPED)]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_RATE_LIMITED, "")


async def test_a_step_beside_the_failed_one_may_start_meanwhile(played: Scene) -> None:
    beside = event("StepStarted", step_id="fast", parent_step_id="both")
    frames = [FAILED, beside, said("2", "Two."), over("2", "Two."), step_over(), ended()]
    assert (await reply_to(played, *frames)).text == "Two."


async def test_a_failed_step_anywhere_in_the_results_is_no_success(played: Scene) -> None:
    frames = [result("两 rows"), ended(SKIPPED, content="两 rows")]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_UNAVAILABLE, "两 rows")
    assert await failure_of(played, FAILED, ended(SKIPPED)) == (ErrorCode.UPSTREAM_RATE_LIMITED, "")


async def test_a_failed_run_that_nobody_has_tried_again_is_no_success(played: Scene) -> None:
    assert await failure_of(played, FAILED, ended(content="slow down")) == (ErrorCode.UPSTREAM_RATE_LIMITED, "")
    beside = event("RunError", run_id="b", step_id="fast", content="no key", error_id="model_authentication_error")
    frames = [FAILED, beside, said("c", "Fast.", "fast"), over("c", "Fast.", "fast"), ended(content="slow down")]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_RATE_LIMITED, "Fast.")
    again = [FAILED, said("2", "Two."), over("2", "Two."), ended(content="Two.")]
    assert (await reply_to(played, *again)).text == "Two."


async def test_more_failed_steps_than_may_stand_open_are_no_reply(played: Scene) -> None:
    crowd = [event("RunError", run_id="1", step_id=str(number)) for number in range(agno.MAX_RUNS + 1)]
    assert await failure_of(played, *crowd, ended()) == (ErrorCode.UPSTREAM_PROTOCOL, "")


# Who speaks


async def test_runs_at_the_same_time_are_told_one_after_the_other(played: Scene) -> None:
    frames = [said("a", "A"), said("b", "X", "fast"), said("a", "B"), said("b", "Y", "fast"), over("a", "AB"),
              said("b", "Z", "fast"), result("R"), over("b", "XYZ", "fast"), ended()]  # fmt: skip
    assert (await reply_to(played, *frames)).text == "AB\n\nR\n\nXYZ"


async def test_a_run_without_an_end_leaves_the_floor_with_its_step(played: Scene) -> None:
    frames = [said("a", "A"), step_over(), said("b", "B", "fast"), said("b", "C", "fast"), ended()]
    assert (await reply_to(played, *frames)).text == "A\n\nBC"


async def test_what_waits_is_told_before_the_end_all_the_same(played: Scene) -> None:
    assert (await reply_to(played, said("a", "A"), over("b", "B", "fast"), ended())).text == "A\n\nB"


async def test_members_of_a_team_are_counted_and_not_heard(played: Scene) -> None:
    spent = {"input_tokens": 11, "output_tokens": 7}
    member = [said("m", "psst", parent_run_id="t"), over("m", "psst", parent_run_id="t", metrics=spent)]
    team = event("TeamRunContent", run_id="t", step_id="slow", step_name="slow", content="Aloud")
    whole = event("TeamRunCompleted", run_id="t", step_id="slow", content="Aloud", metrics={**spent, "duration": 0.5})
    reply = await reply_to(played, *member, team, whole, step_over(), ended())
    assert (reply.text, reply.usage) == ("Aloud", Usage(22, 14))


async def test_the_end_of_a_workflow_inside_of_a_step_is_no_end(played: Scene) -> None:
    inner = event("WorkflowCompleted", nested_depth=1, content="A", step_results=[])
    assert (await reply_to(played, said("a", "A"), over("a", "A"), inner, result("R"), ended())).text == "A\n\nR"


async def test_too_much_that_waits_is_no_reply(played: Scene) -> None:
    long = "x" * (agno.MAX_WAITING + 1)
    frames = [said("a", "A"), over("b", long, "fast"), over("a", "A"), ended()]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_PROTOCOL, "A")
    crowd = [said(str(number), "A", str(number)) for number in range(agno.MAX_RUNS + 1)]
    assert await failure_of(played, *crowd, ended()) == (ErrorCode.UPSTREAM_PROTOCOL, "")


# Results


@pytest.mark.parametrize("events", [True, False], ids=["with its end", "without its end"])
async def test_a_function_that_passes_on_what_an_agent_writes_has_said_its_result(played: Scene, events: bool) -> None:
    end = [over("a", "AB", "query")] if events else []
    frames = [said("a", "A", "query"), said("a", "B", "query"), *end, result("AB"), step_over("query"), ended()]
    assert (await reply_to(played, *frames)).text == "AB"


async def test_a_result_other_than_what_the_agent_wrote_is_said_too(played: Scene) -> None:
    frames = [said("a", "A", "query"), over("a", "A", "query"), result("R"), step_over("query"), ended()]
    assert (await reply_to(played, *frames)).text == "A\n\nR"


async def test_a_step_that_comes_again_says_its_result_again(played: Scene) -> None:
    once = [said("a", "A", "query"), over("a", "A", "query"), result("A"), step_over("query")]
    frames = [*once, result("A"), step_over("query"), result("A"), step_over("query"), ended()]
    assert (await reply_to(played, *frames)).text == "A\n\nA\n\nA"


async def test_a_result_that_is_no_text_is_said_as_json(played: Scene) -> None:
    assert (await reply_to(played, result({"行": [1, None]}), ended())).text == '{"行": [1, null]}'


def raises(kind: type[Exception], call: Callable[[int], None], number: int) -> bool:
    try:
        call(number)
    except kind:
        return True
    return False


async def test_a_result_that_is_nested_too_deeply_is_no_reply(client: AsyncBaseTransport) -> None:
    """Also where it can just be read, and not be written."""
    provider = agno.Agno(Profile("raw", "Raw", MODELS), base_url="http://127.0.0.1:1", api_key=None, http=client)

    def read(depth: int) -> None:
        provider.reply(list).read(result("deep").replace(b'"deep"', b"[" * depth + b"]" * depth))

    assert [depth for depth in range(800, 1100) if raises(UpstreamError, read, depth)]


async def test_the_result_of_a_failed_step_is_not_said(played: Scene) -> None:
    frames = [result("Step skipped", success=False), ended(SKIPPED)]
    assert await failure_of(played, *frames) == (ErrorCode.UPSTREAM_UNAVAILABLE, "")


async def test_a_workflow_without_steps_says_its_content(played: Scene) -> None:
    assert (await reply_to(played, ended(content="just text"))).text == "just text"


async def test_the_content_is_said_where_no_step_writes_the_answer(played: Scene) -> None:
    reply = await reply_to(played, said("a", "A", "plan"), over("a", "A", "plan"), ended(content="A"))
    assert (reply.text, reply.reasoning) == ("A", "A")


async def test_without_names_every_step_writes_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    table = {name: value for name, value in CAPTURE.provider.items() if name != "answer"}
    async with scene_of(msgspec.structs.replace(CAPTURE, provider=table), caplog) as scene:
        reply = await scene.ask(scene.complete())
    assert reply.text == f"Count the rows.\n\n{CAPTURE.reply.text}"
    assert reply.reasoning == "一, two."
