"""A simulated Ollama, behind a gateway that wants a key, as its cloud is.

Source: Ollama's docs/api.md and docs/api/errors.mdx, and the words of its server/routes.go.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from chat.simulators.http_server import Answer, Request
from chat.simulators.script import Fault
from chat.simulators.voice import Voice, speak
from tests.upstreams.http_simulator import HttpSimulator, cut_to, refuses
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_encode = msgspec.json.encode

_REFUSALS: dict[Fault, tuple[int, Any]] = {
    Fault.UNAUTHORIZED: (401, "unauthorized"),
    Fault.RATE_LIMITED: (429, "too many concurrent requests"),
    Fault.SERVER_ERROR: (500, "model runner has unexpectedly stopped"),
    Fault.REJECTED: (400, '"demo" does not support thinking'),
    # Ollama itself refuses no content: this is how a gateway in front of it does.
    Fault.FILTERED: (400, {"message": "refused", "type": "invalid_request_error", "code": "content_filter"}),
}


class _Message(msgspec.Struct):
    role: str
    content: str = ""
    images: list[str] = []


class _Options(msgspec.Struct):
    temperature: float | None = None
    top_p: float | None = None
    num_predict: int | None = None
    num_ctx: int | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message] = []
    options: _Options = msgspec.field(default_factory=_Options)
    stream: bool = True
    think: bool | str | None = None
    keep_alive: str | int | None = None


class OllamaSimulator(HttpSimulator):
    async def answer(self, request: Request, answer: Answer) -> None:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            _refuse(answer, 401, "unauthorized")
            return
        if (request.method, request.path) != ("POST", "/api/chat"):
            answer.body(404, b"404 page not found")
            return
        try:
            body = msgspec.json.decode(request.body, type=_Body)
            for message in body.messages:
                for image in message.images:
                    base64.b64decode(image, validate=True)
        except msgspec.DecodeError as error:
            _refuse(answer, 400, str(error))
            return
        except binascii.Error:
            _refuse(answer, 400, "illegal base64 data at input byte 0")
            return
        if not body.model or not body.messages or not {message.role for message in body.messages} <= _ROLES:
            _refuse(answer, 400, "model is required" if not body.model else "invalid role")
            return
        await self._chat(request, body, answer)

    async def _chat(self, request: Request, body: _Body, answer: Answer) -> None:
        asked = [message.content for message in body.messages if message.role == "user"]
        question = asked[-1] if asked else ""
        try:
            script = self.script(answer, body.model, question, msgspec.json.decode(request.body), len(request.body))
        except ValueError:
            _refuse(answer, 404, f"model '{body.model}' not found")
            return
        if script.fault in _REFUSALS:
            _refuse(answer, *_REFUSALS[script.fault])
        elif not refuses(script, answer):
            last = body.messages[-1]
            if last.role == "assistant":
                script = script.behind(last.content)
            script, short = cut_to(script, body.options.num_predict)
            await speak(_Voice(body.model, question, "length" if short else "stop"), script, answer)


def _refuse(answer: Answer, status: int, error: Any) -> None:
    answer.json(status, {"error": error}, "Retry-After: 0\r\n" if status == 429 else "")


class _Voice(Voice):
    content_type = b"application/x-ndjson"

    def __init__(self, model: str, question: str, reason: str) -> None:
        self._frame = {"model": model, "created_at": "2026-03-01T09:30:00.123456Z"}
        self._question = question
        self._reason = reason

    def token(self, text: str) -> bytes:
        return self._line({"role": "assistant", "content": text})

    def thought(self, text: str) -> bytes:
        return self._line({"role": "assistant", "content": "", "thinking": text})

    def closing(self, tokens: int) -> bytes:
        counts = {
            "prompt_eval_count": max(1, len(self._question) // 4),
            "eval_count": tokens,
            "total_duration": 5 << 20,
        }
        return self._line({"role": "assistant", "content": ""}, done=True, done_reason=self._reason, **counts)

    def try_later(self) -> bytes:
        return b'{"error":"an error was encountered while running the model"}\n'

    def garbage(self) -> bytes:
        return b"{this is not JSON\n"

    def _line(self, message: dict[str, str], *, done: bool = False, **fields: Any) -> bytes:
        return _encode({**self._frame, "message": message, "done": done, **fields}) + b"\n"


RIG = UpstreamRig(
    simulator=OllamaSimulator,
    table={"kind": "ollama", "api_key": "env:KEY"},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
