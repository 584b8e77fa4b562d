"""Traces, as a collector gets them from a running server: who is whose parent, what is linked, what is never told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from websockets.asyncio.client import connect

from chat.events import StartData, Status, Usage
from chat.observation import Ended
from chat.traces.generations import TracedRun
from tests.chat_server import PASSWORD, ChatServer, server_events
from tests.log_lines import line, lines
from tests.otlp_sink import Sink, Span, sink
from tests.watched_server import BAD, ENDLESS, GOOD, KEY, RECOVERS, watched

__all__ = ["sink", "watched"]

INTERNAL, SERVER, CLIENT = 1, 2, 3
WORDS = "marmalade xylophone"
QUERY = "hush-hush"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

Watch = Callable[..., Awaitable[ChatServer]]


def traced(sink: Sink, **more: str) -> dict[str, str]:
    return {
        "CHAT_TRACES": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
        "LOG_FORMAT": "json",
        **more,
    }


def send(model: str, provider: str = "main") -> dict[str, str]:
    return {"message": WORDS, "provider": provider, "model": model}


async def whole_stream(
    client: httpx.AsyncClient, model: str, provider: str = "main", headers: dict[str, str] | None = None
) -> str:
    """The generation's id."""
    async with client.stream("POST", "/chat", json=send(model, provider), headers=headers) as answer:
        async for _event in server_events(answer):
            pass
        id: str = answer.headers["x-generation-id"]
        return id


def assert_child(child: Span, parent: Span) -> None:
    assert (child.trace, child.parent) == (parent.trace, parent.id)


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_request_its_generation_and_its_attempts_are_one_trace(sink: Sink, watched: Watch, kind: str) -> None:
    server = await watched(kind, **traced(sink))
    async with await server.client() as client:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        generation = await whole_stream(client, RECOVERS, headers=headers)
        run = await sink.one("generation", generation=generation)
        request = await sink.one("POST /api/v1/chat")
        first = await sink.one("upstream", attempt=1)
        second = await sink.one("upstream", attempt=2)

        assert (request.trace, request.parent, request.kind) == (TRACE, PARENT, SERVER)
        assert request.attributes["http.request.method"] == "POST"
        assert request.attributes["http.route"] == request.attributes["url.path"] == "/api/v1/chat"
        assert request.attributes["http.response.status_code"] == 200
        assert request.attributes["chat.generation"] == generation
        assert request.attributes["url.scheme"] == "http"
        assert request.attributes["server.port"] == server.port
        assert request.service == "chat"
        assert not request.failed
        assert request.end < run.end, "it ends as the stream begins"

        assert_child(run, request)
        assert (run.kind, run.links) == (INTERNAL, [])
        assert run.attributes["chat.conversation"]
        assert run.attributes["chat.status"] == "completed"
        assert run.attributes["chat.upstream"] == "sse"
        assert (run.attributes["chat.provider"], run.attributes["chat.model"]) == ("main", RECOVERS)
        assert run.attributes["chat.output_tokens"] > 0
        assert run.attributes["user.id"] == request.attributes["user.id"]
        assert run.events == ["first token", "end"]
        assert not run.failed

        for attempt in (first, second):
            assert_child(attempt, run)
            assert attempt.kind == CLIENT
            assert (attempt.attributes["chat.provider"], attempt.attributes["chat.model"]) == ("main", RECOVERS)
            assert attempt.attributes["chat.fallback"] is False
        assert (first.failed, first.attributes["error.type"], first.events) == (True, "UPSTREAM_UNAVAILABLE", [])
        assert (second.failed, second.events) == (False, ["answered"])

        written = await line(server, "generation", generation=generation)
        assert (written["trace_id"], written["span_id"]) == (run.trace, run.id)
        written = await line(server, "request", path="/api/v1/chat")
        assert (written["trace_id"], written["span_id"]) == (request.trace, request.id)


async def test_what_fails_and_what_a_fallback_answers_says_so(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink, OTEL_SERVICE_NAME="another"))
    async with await server.client() as client:
        failed = await whole_stream(client, BAD)
        handed_over = await whole_stream(client, "fault-500", "broken")
        refused = await client.post("/chat", json=send("unknown"))
    assert refused.status_code == 422

    run = await sink.one("generation", generation=failed)
    assert run.service == "another"
    assert (run.failed, run.attributes["error.type"]) == (True, "UPSTREAM_REJECTED")
    assert (run.attributes["chat.status"], run.events) == ("failed", ["end"])

    run = await sink.one("generation", generation=handed_over)
    assert (run.attributes["chat.provider"], run.failed) == ("main", False)
    [first] = sink.named("upstream", provider="broken")
    [second] = sink.named("upstream", fallback=True)
    assert_child(first, run)
    assert_child(second, run)
    assert second.attributes["chat.provider"] == "main"

    await sink.until(lambda: len(sink.named("POST /api/v1/chat")) == 3)
    [request] = [one for one in sink.named("POST /api/v1/chat") if one.attributes["http.response.status_code"] == 422]
    assert not request.failed, "the client's mistake"
    assert "chat.generation" not in request.attributes


async def test_later_requests_are_linked_to_the_generation_at_any_worker(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink))
    async with await server.client() as client, asyncio.timeout(60):
        async with client.stream("POST", "/chat", json=send(ENDLESS)) as answer:
            generation = answer.headers["x-generation-id"]
            async with client.stream("GET", f"/generations/{generation}/events") as following:
                for command in ("pause", "resume", "stop"):
                    assert (await client.post(f"/generations/{generation}/{command}")).status_code == 200
                async for _event in server_events(following):
                    pass
        server.stop()
        run = await sink.one("generation", generation=generation)
        assert run.attributes["chat.status"] == "cancelled"
        names = [
            "GET /api/v1/generations/<id>/events",
            *(f"POST /api/v1/generations/<id>/{command}" for command in ("pause", "resume", "stop")),
        ]
        before = [await sink.one(name) for name in names]

        await server.start()
        assert (await client.get(f"/generations/{generation}/events?after=1&token={QUERY}")).status_code == 200
        name = "GET /api/v1/generations/<id>/events"
        await sink.until(lambda: len(sink.named(name)) == 2)
        after = sink.named(name)[1]
    for request in (*before, after):
        assert request.links == [(run.trace, run.id)], request.name
        assert request.trace != run.trace
        assert request.attributes["chat.generation"] == generation


async def test_a_send_that_is_repeated_is_linked_to_what_it_started(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink))
    async with await server.client() as client:
        headers = {"Idempotency-Key": "once", "Prefer": "respond-async"}
        first, second = [await client.post("/chat", json=send(GOOD), headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    run = await sink.one("generation", generation=first.json()["generation"])
    await sink.until(lambda: len(sink.named("POST /api/v1/chat")) == 2)
    starting, repeated = sink.named("POST /api/v1/chat")
    assert_child(run, starting)
    assert (starting.links, repeated.links) == ([], [(run.trace, run.id)])


async def test_each_command_of_a_socket_is_a_request(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink))
    async with await server.socket() as socket:

        async def say(**frame: Any) -> None:
            await socket.send(json.dumps(frame))

        async def until(kind: str) -> dict[str, Any]:
            while True:
                frame: dict[str, Any] = json.loads(await socket.recv())
                if frame.get("type") == kind:
                    return frame

        await say(type="ping")
        await until("pong")
        await say(type="send", **send(ENDLESS))
        generation = (await until("accepted"))["generation"]
        await say(type="stop", generation=generation)
        run = await sink.one("generation", generation=generation)
        await say(type="follow", generation=generation, after=0)
        await say(type="follow", generation="nothing", ref=1)
        await sink.until(lambda: len(sink.named("websocket follow")) == 2)
    started = await sink.one("websocket send")
    stopped = await sink.one("websocket stop")
    followed, refused = sink.named("websocket follow")
    assert_child(run, started)
    assert started.parent == ""
    assert started.kind == SERVER
    assert started.attributes["url.path"] == "/ws/chat/"
    assert started.attributes["user.id"] == run.attributes["user.id"]
    assert stopped.links == followed.links == [(run.trace, run.id)]
    assert len({started.trace, stopped.trace, followed.trace}) == 3
    assert (refused.links, refused.attributes["error.type"], refused.failed) == ([], "404", False)
    assert not [span for span in sink.spans if "ping" in span.name]


async def test_who_does_not_sample_has_no_span_and_a_handshake_can_name_a_parent(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink))
    async with await server.client() as client:
        unsampled = await whole_stream(client, GOOD, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        strange = await whole_stream(client, GOOD, headers={"traceparent": f"00-{'0' * 32}-{PARENT}-01"})
        run = await sink.one("generation", generation=strange)
        assert run.trace not in (TRACE, "0" * 32)
        assert sink.named("generation", generation=unsampled) == []
        assert (await line(server, "generation", generation=unsampled))["trace_id"] == TRACE

    headers = {**await server.headers(), "traceparent": f"00-{TRACE}-{PARENT}-01"}
    async with connect(f"{server.url.replace('http', 'ws')}/ws/chat/", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "stop", "generation": "nothing"}))
        command = await sink.one("websocket stop")
    assert (command.trace, command.parent) == (TRACE, PARENT)


async def test_of_itself_a_part_of_the_traces_is_sampled_and_all_that_are_asked_for(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink, OTEL_TRACES_SAMPLER=""))
    async with await server.client() as client:
        for _ in range(100):
            assert (await client.get("/providers")).status_code == 200
        asked = await whole_stream(client, GOOD, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        assert (await sink.one("generation", generation=asked)).trace == TRACE
        # One of none among a hundred comes once in forty thousand runs.
        assert 0 < len(sink.named("GET /api/v1/providers")) < 60


async def test_neither_words_nor_secrets_are_told(sink: Sink, watched: Watch) -> None:
    server = await watched(**traced(sink))
    async with await server.client() as client:
        await whole_stream(client, RECOVERS)
        await whole_stream(client, BAD)
        await client.get(f"/conversations?token={QUERY}")
        site = httpx.URL(server.url)
        for path in (f"/accounts/confirm-email/{QUERY}/", f"/accounts/password/reset/key/1-{QUERY}/"):
            await client.get(site.copy_with(path=path))
            # Without the cookie of the form: a refusal that Django's own loggers tell of.
            assert (await client.post(site.copy_with(path=path))).status_code == 403
    async with await server.socket() as socket:
        await socket.send(json.dumps({"type": "send", **send(GOOD)}))
        while not json.loads(await socket.recv()).get("isFinal"):
            pass
    server.stop()
    access = (await server.headers())["Authorization"].removeprefix("Bearer ")
    told = sink.raw + server.log().encode()
    assert len(sink.named("generation")) == len(lines(server, "generation")) == 3
    for secret in (*WORDS.split(), PASSWORD, access, access.split(".")[2], KEY, QUERY, "t000001"):
        assert secret.encode() not in told, secret


@pytest.mark.parametrize("traces", ["off", "on"])
async def test_without_traces_nothing_of_them_is_loaded(sink: Sink, watched: Watch, traces: str) -> None:
    environment = traced(sink, CHAT_TRACES=traces, PYTHONPROFILEIMPORTTIME="1")
    server = await watched(**environment)
    async with await server.client() as client:
        generation = await whole_stream(client, GOOD)
        written = await line(server, "generation", generation=generation)
    server.stop()
    assert ("trace_id" in written) is (traces == "on")
    loaded = re.findall(r"^import time:.*\|\s+(opentelemetry|chat\.traces)\b", server.log(), re.MULTILINE)
    assert set(loaded) == ({"opentelemetry", "chat.traces"} if traces == "on" else set())
    assert bool(sink.spans) is (traces == "on")


def test_the_span_of_a_reply_says_how_who_answered_is_spoken_to() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    start = StartData("g", "c", "m1", "m2", "sse", "demo", "sse")
    run = TracedRun(tracer, tracer.start_span("generation"), start, "somebody")
    run.ended(Ended(Status.COMPLETED, "spark", "other", "websocket", Usage(1, 1), None, 1, 1, committed=True))
    [span] = exporter.get_finished_spans()
    assert span.attributes is not None
    assert (span.attributes["chat.provider"], span.attributes["chat.upstream"]) == ("spark", "websocket")
    provider.shutdown()
