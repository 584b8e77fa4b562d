"""A simulated upstream that speaks OpenAI's Chat Completions over HTTP, with faults on demand.

Source: the OpenAI API reference, "Chat Completions" and its streaming chunks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import Any

import msgspec

from chat.simulators.base import Simulator
from chat.simulators.http_server import Answer, HttpServer, Request
from chat.simulators.script import Fault, Script, script_for
from chat.simulators.voice import Voice, speak

_MENU = ("demo", "echo")
_STATUS_FAULTS: dict[Fault, tuple[int, str, str]] = {
    Fault.UNAUTHORIZED: (401, "invalid_request_error", "invalid_api_key"),
    Fault.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    Fault.SERVER_ERROR: (500, "server_error", "internal_error"),
    Fault.REJECTED: (400, "invalid_request_error", "context_length_exceeded"),
    Fault.FILTERED: (400, "invalid_request_error", "content_filter"),
}
_encode = msgspec.json.encode


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    prefix: bool = False

    @property
    def text(self) -> str:
        content = self.content or ""
        return content if isinstance(content, str) else "".join(part.text for part in content)


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _ChatBody(msgspec.Struct):
    """What the simulator heeds of a request."""

    model: str
    messages: list[_Message]
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    continue_final_message: bool = False

    @property
    def question(self) -> str:
        """The user's last message: behind it, an unfinished answer may stand."""
        asked = [message for message in self.messages if message.role == "user"]
        return (asked or self.messages)[-1].text

    @property
    def said(self) -> str:
        """What the assistant is to go on with."""
        last = self.messages[-1]
        return last.text if last.role == "assistant" and (last.prefix or self.continue_final_message) else ""


class OpenAIChatSimulator(Simulator):
    """With an `api_key`, it refuses every other."""

    def __init__(self, api_key: str | None = None) -> None:
        super().__init__()
        self._api_key = api_key
        self._server = HttpServer(self._answer, self.connections)

    @property
    def url(self) -> str:
        host, port = self._server.address
        return f"http://{host}:{port}/v1"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        await self._server.start(host, port)

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _answer(self, request: Request, answer: Answer) -> None:
        if self._api_key is not None and request.headers.get("authorization") != f"Bearer {self._api_key}":
            _refuse(answer, 401, "invalid_request_error", "invalid_api_key")
        elif request.path == "/v1/models" and request.method == "GET":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in _MENU]
            answer.json(200, {"object": "list", "data": models})
        elif request.path == "/v1/chat/completions":
            if request.method == "POST":
                await self._complete(request, answer)
            else:
                _refuse(answer, 405, "invalid_request_error", "method_not_supported")
        else:
            _refuse(answer, 404, "invalid_request_error", "unknown_url")

    async def _complete(self, request: Request, answer: Answer) -> None:
        try:
            body = msgspec.json.decode(request.body, type=_ChatBody)
        except (msgspec.DecodeError, RecursionError):
            _refuse(answer, 400, "invalid_request_error", "invalid_json")
            return
        if not body.messages:
            _refuse(answer, 400, "invalid_request_error", "empty_array")
            return
        number = self.remember(answer.record, body.model, msgspec.json.decode(request.body), len(request.body))
        try:
            script = script_for(body.model, body.question, number)
        except ValueError:
            _refuse(answer, 404, "invalid_request_error", "model_not_found")
            return
        if body.said:
            script = script.behind(body.said)
        if script.fault in _STATUS_FAULTS:
            _refuse(answer, *_STATUS_FAULTS[script.fault])
        elif script.fault is Fault.REFUSE:
            answer.reset()
        elif body.stream:
            script, reason = _shortened(body, script)
            await speak(_Voice(body, reason), script, answer)
        else:
            await _speak_whole(body, answer, script)


def _refuse(answer: Answer, status: int, kind: str, code: str) -> None:
    headers = "Retry-After: 0\r\n" if status == 429 else ""
    error = {"message": f"a simulated {status}", "type": kind, "param": None, "code": code}
    answer.json(status, {"error": error}, headers)


def _shortened(body: _ChatBody, script: Script) -> tuple[Script, str]:
    """The script up to the tokens that were asked for, and the finish reason that follows."""
    limit = body.max_completion_tokens or body.max_tokens
    if limit is None or len(script.tokens) <= limit:
        return script, "stop"
    return replace(script, tokens=script.tokens[:limit]), "length"


def _usage(question: str, tokens: int) -> dict[str, Any]:
    asked = max(1, len(question) // 4)
    return {
        "prompt_tokens": asked,
        "completion_tokens": tokens,
        "total_tokens": asked + tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


class _Voice(Voice):
    """One reply in chunks. What is the same in all of them is encoded once."""

    def __init__(self, body: _ChatBody, reason: str) -> None:
        self._body = body
        self._reason = reason
        frame = {
            "id": f"chatcmpl-{secrets.token_hex(8)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.model,
            "system_fingerprint": "fp_simulator",
        }
        self._with_usage = body.stream_options is not None and body.stream_options.include_usage
        self._before = b"data: " + _encode(frame)[:-1] + b',"choices":['
        self._before_token = self._before + b'{"index":0,"delta":{"content":'
        self._after = b'],"usage":null}\n\n' if self._with_usage else b"]}\n\n"
        self._after_token = b'},"logprobs":null,"finish_reason":null}' + self._after

    def opening(self) -> bytes:
        return self._choice({"role": "assistant", "content": "", "refusal": None}, None)

    def token(self, text: str) -> bytes:
        return self._before_token + _encode(text) + self._after_token

    def thought(self, text: str) -> bytes:
        return self._choice({"content": None, "reasoning_content": text}, None)

    def closing(self, tokens: int) -> bytes:
        end = self._choice({}, self._reason)
        if self._with_usage:
            end += self._before + b'],"usage":' + _encode(_usage(self._body.question, tokens)) + b"}\n\n"
        return end + b"data: [DONE]\n\n"

    def try_later(self) -> bytes:
        error = {"message": "The server is overloaded.", "type": "server_error", "param": None, "code": None}
        return b"data: " + _encode({"error": error}) + b"\n\n"

    def _choice(self, delta: dict[str, str | None], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._before + _encode(choice) + self._after


async def _speak_whole(body: _ChatBody, answer: Answer, script: Script) -> None:
    """A reply that is not streamed. A fault in mid-stream is one in mid-body here."""
    script, reason = _shortened(body, script)
    fault = script.fault
    if fault is Fault.ERROR_FRAME:
        _refuse(answer, 503, "server_error", "overloaded")
        return
    tokens = [] if fault is Fault.EMPTY else [token async for token in script.pace()]
    answer.record.tokens_sent = len(tokens)
    if fault in (Fault.SILENCE, Fault.STALL):
        await asyncio.Event().wait()
    message = {"role": "assistant", "content": "".join(tokens), "refusal": None}
    encoded = _encode(
        {
            "id": f"chatcmpl-{secrets.token_hex(8)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": _usage(body.question, len(tokens)),
        }
    )
    if fault in (None, Fault.SLOW, Fault.EMPTY):
        answer.body(200, encoded)
    elif fault in (Fault.CUT, Fault.CUT_EARLY, Fault.CUT_CHARACTER):
        answer.body(200, encoded[: len(encoded) // 2], size=len(encoded))
        await asyncio.sleep(0.05)
        answer.reset()
    else:
        answer.body(200, b"{this is not JSON")
