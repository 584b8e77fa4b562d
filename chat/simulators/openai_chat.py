"""A simulated upstream that speaks OpenAI's Chat Completions over HTTP, with faults on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from chat.simulators.base import ConnectionRecord, Simulator
from chat.simulators.script import Fault, Script, script_for

MAX_HEAD = 64 * 1024
MAX_BODY = 32 << 20
HUGE_LINE = 17 << 20
"""More than any decoder of ours bears."""

_STATUS_FAULTS: dict[Fault, tuple[int, str, str]] = {
    Fault.UNAUTHORIZED: (401, "invalid_request_error", "invalid_api_key"),
    Fault.RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    Fault.SERVER_ERROR: (500, "server_error", "internal"),
    Fault.REJECTED: (400, "invalid_request_error", "context_length_exceeded"),
    Fault.FILTERED: (400, "invalid_request_error", "content_filter"),
}
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class OpenAIChatSimulator(Simulator):
    """With an `api_key`, it refuses every other."""

    def __init__(self, api_key: str | None = None) -> None:
        super().__init__()
        self._api_key = api_key
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD, backlog=1024)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        record = ConnectionRecord()
        self.connections.append(record)
        try:
            await self._serve(reader, writer, record)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the client has gone, or it is no HTTP client
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            record.closed = time.monotonic()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: ConnectionRecord
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
        request_line, *header_lines = head.split("\r\n")
        method, path, _version = request_line.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _colon, value in (line.partition(":") for line in header_lines if line)
        }
        body = await reader.readexactly(min(int(headers.get("content-length", "0")), MAX_BODY))
        answer = _Answer(writer, record)
        if self._api_key is not None and headers.get("authorization") != f"Bearer {self._api_key}":
            answer.error(401, "invalid_request_error", "invalid_api_key")
        elif method == "GET" and path.endswith("/models"):
            answer.json(200, {"object": "list", "data": [{"id": "demo", "object": "model"}]})
        elif method == "POST" and path.endswith("/chat/completions"):
            await self._complete(json.loads(body), reader, answer, record)
        else:
            answer.error(404, "invalid_request_error", "not_found")
        await writer.drain()

    async def _complete(
        self, request: dict[str, Any], reader: asyncio.StreamReader, answer: _Answer, record: ConnectionRecord
    ) -> None:
        model = str(request.get("model", ""))
        record.model, record.request = model, request
        self.requests[model] += 1
        messages = request.get("messages") or [{}]
        question = str(messages[-1].get("content", ""))
        try:
            script = script_for(model, question, self.requests[model])
        except ValueError:
            answer.error(404, "invalid_request_error", "model_not_found")
            return
        if script.fault in _STATUS_FAULTS:
            answer.error(*_STATUS_FAULTS[script.fault])
            return
        if script.fault is Fault.REFUSE:
            answer.reset()
            return
        # Whoever leaves in the middle is noticed at once, also while nothing is being sent.
        speaking = asyncio.create_task(answer.speak(model, script, request, question))
        leaving = asyncio.create_task(_gone(reader))
        try:
            await asyncio.wait([speaking, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)


async def _gone(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read(1)


class _Answer:
    """One HTTP answer in the making."""

    def __init__(self, writer: asyncio.StreamWriter, record: ConnectionRecord) -> None:
        self._writer = writer
        self._record = record
        self._prefix = b""

    def json(self, status: int, value: Any, headers: str = "") -> None:
        body = json.dumps(value).encode()
        reason = _REASONS.get(status, "Error")
        self._writer.write(
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )

    def error(self, status: int, kind: str, code: str) -> None:
        headers = "Retry-After: 0\r\n" if status == 429 else ""
        message = f"a simulated {status}"
        self.json(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)

    def reset(self) -> None:
        self._writer.transport.abort()

    async def speak(self, model: str, script: Script, request: dict[str, Any], question: str) -> None:
        fault = script.fault
        self._writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        if fault is Fault.SILENCE:
            await asyncio.Event().wait()
        self._prefix = json.dumps(
            {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        )[:-1].encode()
        self._delta({"role": "assistant", "content": ""})
        if fault is not Fault.EMPTY:
            async for token in script.pace():
                self._delta({"content": token})
                self._record.tokens_sent += 1
                if self._writer.transport.get_write_buffer_size() > MAX_HEAD:
                    await self._writer.drain()
        if fault is not None and fault not in (Fault.SLOW, Fault.EMPTY):
            await self._misbehave(fault)
            return
        self._choice({}, "stop")
        if (request.get("stream_options") or {}).get("include_usage"):
            usage = _usage(question, self._record.tokens_sent)
            self._block(self._prefix + b',"choices":[],"usage":%s}' % json.dumps(usage).encode())
        self._block(b"[DONE]")
        self._end()

    async def _misbehave(self, fault: Fault) -> None:
        match fault:
            case Fault.STALL:
                await asyncio.Event().wait()
            case Fault.CUT:
                await self._writer.drain()
                await asyncio.sleep(0.05)
                self.reset()
            case Fault.CUT_CHARACTER:
                block = self._prefix + ',"choices":[{"index":0,"delta":{"content":"界'.encode()
                self._chunk(b"data: " + block[:-1])
                await self._writer.drain()
                await asyncio.sleep(0.05)
                self.reset()
            case Fault.GARBAGE:
                self._block(b"{this is not JSON")
                self._end()
            case Fault.HUGE_LINE:
                self._chunk(b'data: {"x":"')
                for _ in range(HUGE_LINE // 65536):
                    self._chunk(b"x" * 65536)
                    await self._writer.drain()
            case Fault.NO_END_MARK:
                self._end()
            case Fault.ERROR_FRAME:
                self._block(json.dumps({"error": {"message": "overloaded", "type": "server_error"}}).encode())
                self._end()

    def _delta(self, delta: dict[str, str]) -> None:
        self._choice(delta, None)

    def _choice(self, delta: dict[str, str], reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        self._block(self._prefix + b',"choices":[%s]}' % json.dumps(choice, ensure_ascii=False).encode())

    def _block(self, data: bytes) -> None:
        self._chunk(b"data: " + data + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _end(self) -> None:
        self._writer.write(b"0\r\n\r\n")


def _usage(question: str, tokens: int) -> dict[str, int]:
    asked = max(1, len(question) // 4)
    return {"prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens}
