"""The simulated upstream as any client of OpenAI sees it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import uvloop

from chat.errors import ErrorCode, UpstreamError
from chat.providers.http import HttptoolsTransport
from chat.simulators.base import REQUEST_BYTES
from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.script import FAULT_TEXT
from tests.providers.conftest import API_KEY, Reply, openai_for, question, read, until


@pytest.fixture
async def simulator() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(API_KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


def client_of(simulator: OpenAIChatSimulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=simulator.url, headers={"Authorization": f"Bearer {API_KEY}"}, trust_env=False)


def ask(model: str, text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


async def test_the_simulator_answers_whole_replies_too(simulator: OpenAIChatSimulator) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=simulator.url, headers=headers) as plain:
        ask = {"model": "echo", "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}]}
        whole = (await plain.post("/chat/completions", json=ask)).json()
        assert whole["choices"][0]["message"]["content"] == "你好"
        assert whole["choices"][0]["finish_reason"] == "stop"
        assert whole["usage"]["completion_tokens"] == 1
        assert [model["id"] for model in (await plain.get("/models")).json()["data"]]


BAD_REQUESTS = [
    ("POST", "/chat/completions", b"{", 400),
    ("POST", "/chat/completions", b'{"model":"echo","messages":[]}', 400),
    ("POST", "/chat/completions", b'{"model":"fault-unheard-of","messages":[{"role":"user"}]}', 404),
    ("GET", "/chat/completions", b"", 405),
    ("POST", "/completions", b"{}", 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), BAD_REQUESTS)
async def test_the_simulator_refuses_in_openais_shape(
    simulator: OpenAIChatSimulator, method: str, path: str, body: bytes, status: int
) -> None:
    async with httpx.AsyncClient(base_url=simulator.url, headers={"Authorization": f"Bearer {API_KEY}"}) as plain:
        refused = await plain.request(method, path, content=body)
    assert refused.status_code == status
    assert refused.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_a_stream_has_the_chunks_of_the_real_one(simulator: OpenAIChatSimulator) -> None:
    async with client_of(simulator) as plain:
        request = ask("tokens-2-0", stream=True, stream_options={"include_usage": True})
        answer = await plain.post("/chat/completions", json=request)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *blocks, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks]
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "t000001 "},
        {"content": "t000002 "},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2


async def test_usage_is_reported_only_where_it_is_asked_for(simulator: OpenAIChatSimulator) -> None:
    async with client_of(simulator) as plain:
        answer = await plain.post("/chat/completions", json=ask("tokens-2-0", stream=True))
    assert "usage" not in answer.text


FAULTS_OF_WHOLE_REPLIES = [("fault-error-frame", 503), ("fault-429", 429), ("fault-empty", 200), ("fault-slow", 200)]


@pytest.mark.parametrize(("model", "status"), FAULTS_OF_WHOLE_REPLIES)
async def test_a_whole_reply_has_its_faults_too(simulator: OpenAIChatSimulator, model: str, status: int) -> None:
    async with client_of(simulator) as plain:
        assert (await plain.post("/chat/completions", json=ask(model))).status_code == status


@pytest.mark.parametrize("model", ["fault-cut", "fault-refuse"])
async def test_a_whole_reply_can_be_cut(simulator: OpenAIChatSimulator, model: str) -> None:
    async with client_of(simulator) as plain:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await plain.post("/chat/completions", json=ask(model))


async def test_a_fault_can_pass_after_some_requests(simulator: OpenAIChatSimulator) -> None:
    async with client_of(simulator) as plain:
        statuses = [(await plain.post("/chat/completions", json=ask("fault-500-x2"))).status_code for _ in range(2)]
        async with plain.stream("POST", "/chat/completions", json=ask("fault-500-x2", stream=True)) as third:
            statuses.append(third.status_code)
    assert statuses == [500, 500, 200]
    assert simulator.requests["fault-500-x2"] == 3


@pytest.mark.parametrize("model", ["fault-silence", "tokens-1000000-0"])
async def test_closing_it_ends_every_connection_and_task(model: str) -> None:
    simulator = OpenAIChatSimulator()
    await simulator.start()
    before = asyncio.all_tasks()
    body = json.dumps(ask(model, stream=True)).encode()
    address = httpx.URL(simulator.url)
    # A client that never reads: what is sent to it stays in the buffers.
    _reader, writer = await asyncio.open_connection(address.host, address.port, limit=1)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await until(lambda: simulator.requests[model])
    await simulator.aclose()
    assert simulator.open_connections == 0
    assert asyncio.all_tasks() == before
    writer.transport.abort()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize(
    "request_bytes",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"],
    ids=["no-http", "endless-head", "bad-length"],
)
async def test_what_is_no_request_is_refused_and_closed(simulator: OpenAIChatSimulator, request_bytes: bytes) -> None:
    address = httpx.URL(simulator.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request_bytes)
    answer = await reader.read(12)
    assert answer in (b"HTTP/1.1 400", b"HTTP/1.1 413")
    await until(lambda: simulator.open_connections == 0)
    writer.transport.abort()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_old_requests_are_forgotten(simulator: OpenAIChatSimulator) -> None:
    text = "x" * (REQUEST_BYTES // 3)
    async with client_of(simulator) as plain:
        for _turn in range(4):
            await plain.post("/chat/completions", json=ask("tokens-1-0", text))
    remembered = [bool(record.request) for record in simulator.connections if record.model]
    assert remembered == [False, False, True, True]


@pytest.mark.parametrize(("model", "code"), [("tokens-3-0", None), ("fault-cut", ErrorCode.UPSTREAM_UNAVAILABLE)])
def test_it_runs_on_uvloop_as_in_production(model: str, code: ErrorCode | None) -> None:
    async def talk() -> tuple[str, ErrorCode | None]:
        simulator = OpenAIChatSimulator(API_KEY)
        await simulator.start()
        reply = Reply()
        try:
            async with HttptoolsTransport() as client:
                await read(openai_for(simulator.url, client), question(model), reply)
        except UpstreamError as error:
            return reply.text, error.error_code
        finally:
            await simulator.aclose()
        return reply.text, None

    text, failure = uvloop.run(talk())
    assert text == ("t000001 t000002 t000003 " if code is None else "".join(FAULT_TEXT))
    assert failure is code
