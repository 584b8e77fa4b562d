"""Responses in the background: followed over several connections, and cancelled when nobody wants them any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason
from chat.providers import resumable_responses
from chat.providers.base import Provider
from chat.providers.resumable_responses import RESUMES_MOST
from tests.providers.conftest import Reply, question, read, until
from tests.providers.raw_upstream import STREAM_HEAD, RawUpstream
from tests.providers.test_openai_responses import COMPLETED, delta
from tests.upstreams.openai_responses import RIG, OpenAIResponsesSimulator
from tests.upstreams.rig import main_of

TEN = "".join(f"t{number:06d} " for number in range(1, 11))


@dataclass
class Scene:
    simulator: OpenAIResponsesSimulator
    provider: Provider


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(resumable_responses, "RESUME_FIRST", 0.01)
    simulator = RIG.simulator()
    assert isinstance(simulator, OpenAIResponsesSimulator)
    await simulator.start()
    registry = RIG.registry(simulator.url, background=True)
    yield Scene(simulator, main_of(registry))
    await registry.aclose()
    await simulator.aclose()


async def fail(scene: Scene, model: str, reply: Reply) -> UpstreamError:
    with pytest.raises(UpstreamError) as failure:
        await read(scene.provider, question(model), reply)
    assert reply.finishes == []
    return failure.value


async def test_it_is_asked_for_in_the_background_and_stored(scene: Scene) -> None:
    reply = await read(scene.provider, question("tokens-10-0"))
    sent = scene.simulator.connections[0].request
    assert (sent["background"], sent["store"], sent["stream"]) == (True, True, True)
    assert reply.text == TEN
    assert (scene.simulator.resumed, scene.simulator.cancelled) == ([], [])


@pytest.mark.parametrize("orderly", [False, True], ids=["reset", "closed in order"])
@pytest.mark.parametrize("overlap", [0, 3])
async def test_a_stream_that_is_cut_is_resumed_where_it_was(scene: Scene, orderly: bool, overlap: int) -> None:
    scene.simulator.cuts, scene.simulator.orderly = deque([6, 2 + overlap, 4 + overlap]), orderly
    scene.simulator.overlap = overlap
    reply = await read(scene.provider, question("tokens-10-0"))
    assert (reply.text, reply.finishes) == (TEN, [Finish(FinishReason.STOP)])
    assert reply.usage is not None
    assert reply.usage.output_tokens == 10
    assert len(scene.simulator.resumed) == 3
    assert scene.simulator.resumed == sorted(set(scene.simulator.resumed))
    assert scene.simulator.cancelled == []


@pytest.mark.parametrize("cut", range(1, 8))
async def test_it_may_be_cut_behind_any_event(scene: Scene, cut: int) -> None:
    scene.simulator.cuts, scene.simulator.orderly = deque([cut]), True
    assert (await read(scene.provider, question("tokens-10-0"))).text == TEN
    assert scene.simulator.resumed == [cut - 1]


async def test_thinking_and_characters_of_several_bytes_survive_it(scene: Scene) -> None:
    scene.simulator.cuts, scene.simulator.orderly = deque([5, 2]), True
    reply = await read(scene.provider, question("reasons"))
    assert (reply.reasoning, reply.text) == ("Let me think. ", "Some words came through ")
    scene.simulator.cuts = deque([5, 2])
    assert (await read(scene.provider, question("echo", "你好,世界 👩‍🚀 𠮷野家"))).text == "你好,世界 👩‍🚀 𠮷野家"


@pytest.mark.parametrize(
    ("orderly", "code"), [(True, ErrorCode.UPSTREAM_PROTOCOL), (False, ErrorCode.UPSTREAM_UNAVAILABLE)]
)
async def test_it_is_resumed_only_so_often_and_cancelled_then(scene: Scene, orderly: bool, code: ErrorCode) -> None:
    scene.simulator.cuts, scene.simulator.orderly = deque([6] + [1] * 20), orderly
    reply = Reply()
    error = await fail(scene, "tokens-100-0", reply)
    assert error.error_code is code
    assert len(scene.simulator.resumed) == RESUMES_MOST
    assert reply.text.startswith("t000001 t000002 ")
    await until(lambda: len(scene.simulator.cancelled) == 1)


async def test_without_a_first_event_there_is_nothing_to_resume(scene: Scene) -> None:
    scene.simulator.cuts = deque([0])
    error = await fail(scene, "tokens-10-0", Reply())
    assert error.error_code is ErrorCode.UPSTREAM_UNAVAILABLE
    assert scene.simulator.resumed == []


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (503, RESUMES_MOST)])
async def test_what_cannot_be_resumed_fails_as_it_broke_off(scene: Scene, status: int, tries: int) -> None:
    scene.simulator.cuts, scene.simulator.orderly = deque([6]), True
    scene.simulator.refuses_resuming = status
    error = await fail(scene, "tokens-10-0", Reply())
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert "status" not in error.details
    assert len(scene.simulator.resumed) == tries


@pytest.mark.parametrize("model", ["tokens-100000-50", "fault-slow"])
async def test_stopping_closes_the_connection_and_cancels_the_response(scene: Scene, model: str) -> None:
    reply = Reply()
    reading = asyncio.create_task(read(scene.provider, question(model), reply))
    await until(lambda: reply.text)
    (response,) = scene.simulator.responses
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    await scene.provider.aclose()
    assert scene.simulator.cancelled == [response]
    await until(lambda: scene.simulator.open_connections == 0)
    assert scene.simulator.responses[response].over


async def test_stopping_between_two_connections_cancels_it_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_responses, "RESUME_FIRST", 60.0)
    scene.simulator.cuts, scene.simulator.orderly = deque([6]), True
    reading = asyncio.create_task(read(scene.provider, question("tokens-10-0")))
    await until(lambda: scene.simulator.connections and scene.simulator.connections[0].closed)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    await until(lambda: scene.simulator.cancelled)
    assert scene.simulator.resumed == []


async def test_a_response_that_can_no_longer_be_read_is_cancelled(scene: Scene) -> None:
    def spoilt(events: object) -> None:
        raise RuntimeError("whoever takes the events has failed")

    with pytest.raises(RuntimeError):
        await scene.provider.stream(question("tokens-100000-50"), spoilt)
    await until(lambda: len(scene.simulator.cancelled) == 1)


async def test_an_upstream_that_does_not_confirm_a_cancellation_keeps_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_responses, "CANCEL_SECONDS", 0.1)
    scene.simulator.confirms = False
    reply = Reply()
    reading = asyncio.create_task(read(scene.provider, question("tokens-100000-50"), reply))
    await until(lambda: reply.text)
    reading.cancel()
    await asyncio.wait([reading])
    await asyncio.wait_for(scene.provider.aclose(), 10)
    assert len(scene.simulator.cancelled) == 1
    await until(lambda: scene.simulator.open_connections == 0)


@pytest.mark.parametrize("id", ["../models", "resp_1?x=", "a" * 300])
async def test_an_id_that_is_none_is_never_put_into_an_address(id: str) -> None:
    created = f'data: {{"type":"response.created","sequence_number":0,"response":{{"id":"{id}"}}}}\n\n'.encode()
    async with RawUpstream(STREAM_HEAD + created) as upstream:
        registry = RIG.registry(upstream.url, background=True)
        with pytest.raises(UpstreamError) as failure:
            await read(main_of(registry), question("demo"))
        await registry.aclose()
    assert failure.value.error_code is ErrorCode.UPSTREAM_PROTOCOL
    assert len(upstream.requests) == 1


async def test_a_response_that_ends_before_its_connection_does_is_not_cancelled() -> None:
    whole = delta("Hi", sequence_number=1) + COMPLETED
    async with RawUpstream(STREAM_HEAD + whole.encode(), end="hold") as upstream:
        registry = RIG.registry(upstream.url, background=True)
        assert (await read(main_of(registry), question("demo"))).text == "Hi"
        await registry.aclose()
    assert len(upstream.requests) == 1
