"""Anthropic's Messages API, simulated: it refuses what the real one refuses, in its words.

Source: the Claude API reference, "Messages", "Streaming messages" and "Errors".
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import replace
from typing import Any, Literal

import msgspec

from chat.simulators.http_server import Answer, Request
from chat.simulators.script import Fault, Script
from chat.simulators.voice import Voice, speak
from tests.upstreams.http_simulator import HttpSimulator, cut_to, refuses
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"

_STATUS_FAULTS: dict[Fault, tuple[int, str, str]] = {
    Fault.UNAUTHORIZED: (401, "authentication_error", "invalid x-api-key"),
    Fault.RATE_LIMITED: (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    Fault.SERVER_ERROR: (500, "api_error", "Internal server error"),
    Fault.REJECTED: (400, "invalid_request_error", "prompt is too long: 216391 tokens > 200000 maximum"),
    Fault.FILTERED: (400, "invalid_request_error", "Output blocked by content filtering policy"),
}
_encode = msgspec.json.encode


class Refused(Exception):
    """An invalid_request_error, with what it says."""


class _Source(msgspec.Struct):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class _Block(msgspec.Struct):
    type: Literal["text", "image"]
    text: str | None = None
    source: _Source | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]

    @property
    def blocks(self) -> list[_Block]:
        return [_Block("text", self.content)] if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        return "".join(block.text or "" for block in self.blocks)


class _Thinking(msgspec.Struct):
    type: Literal["enabled"]
    budget_tokens: int


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    messages: list[_Message]
    max_tokens: int
    stream: bool = False
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: _Thinking | None = None
    metadata: _Metadata | None = None

    def check(self) -> None:
        """Raises Refused."""
        if not self.messages:
            raise Refused("messages: at least one message is required")
        if self.max_tokens < 1:
            raise Refused("max_tokens: Input should be greater than or equal to 1")
        self._check_sampling()
        for number, message in enumerate(self.messages):
            if message.role not in ("user", "assistant"):
                raise Refused(
                    f'messages: Unexpected role "{message.role}". The Messages API accepts a top-level `system` '
                    'parameter, not "system" as an input message role.'
                )
            if message.role != ("user", "assistant")[number % 2]:
                raise Refused('messages: roles must alternate between "user" and "assistant"')
            for block in message.blocks:
                _check_block(block)
        last = self.messages[-1]
        if last.role == "assistant":
            if self.thinking is not None:
                raise Refused("messages: the last message must be the user's when `thinking` is enabled")
            if last.text != last.text.rstrip():
                raise Refused("messages: final assistant content cannot end with trailing whitespace")

    def _check_sampling(self) -> None:
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise Refused(f"{name}: range: 0..1")
        if self.thinking is None:
            return
        if self.thinking.budget_tokens < 1024:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if self.max_tokens <= self.thinking.budget_tokens:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if self.temperature not in (None, 1):
            raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
        if self.top_p is not None and self.top_p < 0.95:
            raise Refused("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")


def _check_block(block: _Block) -> None:
    if block.type == "text" and not (block.text or "").strip():
        raise Refused("messages: text content blocks must contain non-whitespace text")
    if block.type == "image":
        if block.source is None:
            raise Refused("messages: image.source: Field required")
        try:
            base64.b64decode(block.source.data, validate=True)
        except binascii.Error:
            raise Refused("messages: image.source.base64: invalid base64 data") from None


class AnthropicSimulator(HttpSimulator):
    """`url` with the version: `/messages` follows. It refuses every other key."""

    def __init__(self, api_key: str = KEY) -> None:
        super().__init__()
        self._api_key = api_key

    @property
    def url(self) -> str:
        return f"{super().url}/v1"

    async def answer(self, request: Request, answer: Answer) -> None:
        headers = request.headers
        if (request.method, request.path) != ("POST", "/v1/messages"):
            _refuse(answer, 404, "not_found_error", "Not Found")
        elif "x-api-key" not in headers:
            _refuse(answer, 401, "authentication_error", "x-api-key header is required")
        elif headers["x-api-key"] != self._api_key:
            _refuse(answer, 401, "authentication_error", "invalid x-api-key")
        elif headers.get("anthropic-version") != "2023-06-01":
            _refuse(answer, 400, "invalid_request_error", "anthropic-version: header is required")
        elif headers.get("content-type") != "application/json":
            _refuse(answer, 400, "invalid_request_error", "content-type: must be application/json")
        else:
            try:
                body = msgspec.json.decode(request.body, type=_Body)
                body.check()
            except (msgspec.DecodeError, Refused) as error:
                _refuse(answer, 400, "invalid_request_error", str(error))
                return
            await self._speak(request, body, answer)

    async def _speak(self, request: Request, body: _Body, answer: Answer) -> None:
        question = [message for message in body.messages if message.role == "user"][-1].text
        asked = msgspec.json.decode(request.body)
        try:
            script = self.script(answer, body.model, question, asked, len(request.body))
        except ValueError:
            _refuse(answer, 404, "not_found_error", f"model: {body.model}")
            return
        if body.messages[-1].role == "assistant":
            script = script.behind(body.messages[-1].text)
        if script.fault in _STATUS_FAULTS:
            _refuse(answer, *_STATUS_FAULTS[script.fault])
        elif not body.stream:
            _refuse(answer, 400, "invalid_request_error", "this simulator only streams")
        elif not refuses(script, answer):
            script, reason = _shortened(body, script)
            await speak(AnthropicVoice(body.model, question, reason), script, answer)


def _refuse(answer: Answer, status: int, kind: str, message: str) -> None:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{secrets.token_hex(8)}"}
    answer.json(status, error, "retry-after: 0\r\n" if status == 429 else "")


def _shortened(body: _Body, script: Script) -> tuple[Script, str]:
    """Thoughts only where they were asked for, and no more tokens than may be."""
    most = body.max_tokens
    if body.thinking is None:
        script = replace(script, thoughts=())
    else:
        most -= body.thinking.budget_tokens
    script, is_cut = cut_to(script, most)
    return script, "max_tokens" if is_cut else "end_turn"


class AnthropicVoice(Voice):
    """Its blocks are opened and closed as the kind of what is said changes."""

    def __init__(self, model: str, question: str, reason: str) -> None:
        self._model = model
        self._input = max(2, len(question) // 4)
        self._reason = reason
        self._block = ""
        self._index = -1

    def opening(self) -> bytes:
        # One token of the question is taken for a cached one.
        usage = {"input_tokens": self._input - 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 1}
        message = {
            "id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": self._model,
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1},
        }  # fmt: skip
        return event({"type": "message_start", "message": message}) + event({"type": "ping"})

    def token(self, text: str) -> bytes:
        return self._in("text") + self._delta({"type": "text_delta", "text": text})

    def thought(self, text: str) -> bytes:
        return self._in("thinking") + self._delta({"type": "thinking_delta", "thinking": text})

    def closing(self, tokens: int) -> bytes:
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        end = event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}})
        return self._leave() + end + event({"type": "message_stop"})

    def try_later(self) -> bytes:
        return event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})

    def _in(self, kind: str) -> bytes:
        if self._block == kind:
            return b""
        left = self._leave()
        self._block, self._index = kind, self._index + 1
        block: dict[str, Any] = {"type": kind, kind: ""}
        if kind == "thinking":
            block["signature"] = ""
        return left + event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _leave(self) -> bytes:
        if not self._block:
            return b""
        signed = b""
        if self._block == "thinking":
            signed = self._delta({"type": "signature_delta", "signature": secrets.token_urlsafe(40)})
        self._block = ""
        return signed + event({"type": "content_block_stop", "index": self._index})

    def _delta(self, delta: dict[str, str]) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})


def event(value: dict[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), _encode(value))


RIG = UpstreamRig(
    simulator=AnthropicSimulator,
    table={"kind": "anthropic", "api_key": "env:KEY", "thinking": 1024},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
