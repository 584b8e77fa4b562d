"""Gemini's `streamGenerateContent`, simulated: it refuses what the real one refuses, in its words.

Source: the Gemini API reference, "Generating content", and its "Troubleshooting guide".
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

import msgspec

from chat.simulators.http_server import Answer, Request
from chat.simulators.script import Fault, Script
from chat.simulators.voice import Voice, speak
from tests.upstreams.http_simulator import HttpSimulator, cut_to, refuses
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"
WRONG_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
_RETRY_NOW = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0s"}
_INVALID_KEY = (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", WRONG_KEY)
_STATUS_FAULTS: dict[Fault, tuple[Any, ...]] = {
    Fault.UNAUTHORIZED: _INVALID_KEY,
    Fault.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", _RETRY_NOW),
    Fault.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred."),
    Fault.REJECTED: (400, "INVALID_ARGUMENT", "The input token count (1048577) exceeds the maximum number of tokens."),
}
_MODEL = re.compile(r"/v1beta/models/([^/:]+):streamGenerateContent")
_encode = msgspec.json.encode


class Refused(Exception):
    """An INVALID_ARGUMENT, with what it says."""


class _Data(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    mime_type: Literal["image/png", "image/jpeg", "image/webp"]
    data: str


class _Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    text: str | None = None
    inline_data: _Data | None = None


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    parts: list[_Part]
    role: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text or "" for part in self.parts)


class _ThinkingConfig(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    include_thoughts: bool = False


class _Config(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    thinking_config: _ThinkingConfig | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    contents: list[_Content] = []
    system_instruction: _Content | None = None
    generation_config: _Config = msgspec.field(default_factory=_Config)

    def check(self) -> None:
        """Raises Refused."""
        if not self.contents:
            raise Refused("* GenerateContentRequest.contents: contents is not specified")
        config = self.generation_config
        if config.temperature is not None and not 0 <= config.temperature <= 2:
            raise Refused("* GenerateContentRequest.generation_config.temperature: must be in the range [0.0, 2.0].")
        if config.top_p is not None and not 0 <= config.top_p <= 1:
            raise Refused("* GenerateContentRequest.generation_config.top_p: must be in the range [0.0, 1.0].")
        if config.max_output_tokens is not None and config.max_output_tokens < 1:
            raise Refused("* GenerateContentRequest.generation_config.max_output_tokens: must be positive.")
        for content in self.contents:
            if content.role not in ("user", "model"):
                raise Refused("Please use a valid role: user, model.")
            if not content.parts:
                raise Refused("* GenerateContentRequest.contents.parts: contents.parts must not be empty.")
            for part in content.parts:
                _check_part(part)
        if self.contents[-1].role != "user":
            raise Refused("Please ensure that multiturn requests end with a user role or a function response.")


def _check_part(part: _Part) -> None:
    if (part.text is None) == (part.inline_data is None):
        raise Refused("contents.parts.data: required oneof field 'data' must have one initialized field")
    if part.inline_data is not None:
        try:
            base64.b64decode(part.inline_data.data, validate=True)
        except binascii.Error:
            raise Refused("Invalid value at 'contents.parts.inline_data.data': Base64 decoding failed") from None


class GeminiSimulator(HttpSimulator):
    """`url` with the version: `/models/…` follows. It refuses every other key."""

    def __init__(self, api_key: str = KEY) -> None:
        super().__init__()
        self._api_key = api_key

    @property
    def url(self) -> str:
        return f"{super().url}/v1beta"

    async def answer(self, request: Request, answer: Answer) -> None:
        match = _MODEL.fullmatch(request.path)
        key = request.headers.get("x-goog-api-key")
        if match is None or request.method != "POST":
            answer.body(404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>")
        elif key is None:
            _refuse(answer, 403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        elif key != self._api_key:
            _refuse(answer, *_INVALID_KEY)
        else:
            try:
                body = msgspec.json.decode(request.body, type=_Body)
                body.check()
            except (msgspec.DecodeError, Refused) as error:
                _refuse(answer, 400, "INVALID_ARGUMENT", str(error))
                return
            await self._speak(request, unquote(match[1]), body, answer)

    async def _speak(self, request: Request, model: str, body: _Body, answer: Answer) -> None:
        question, asked = body.contents[-1].text, msgspec.json.decode(request.body)
        try:
            script = self.script(answer, model, question, asked, len(request.body))
        except ValueError:
            _refuse(answer, 404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
            return
        script, reason = _shortened(body.generation_config, script)
        voice = GeminiVoice(model, question, reason)
        if script.fault in _STATUS_FAULTS:
            _refuse(answer, *_STATUS_FAULTS[script.fault])
        elif refuses(script, answer):
            return
        elif parse_qs(request.query).get("alt") != ["sse"]:
            answer.json(200, [voice.chunk([{"text": text}], "STOP") for text in script.tokens])
        elif script.fault is Fault.FILTERED:
            answer.begin_stream(voice.content_type)
            answer.chunk(voice.blocked())
            answer.end()
        else:
            await speak(voice, script, answer)


def _refuse(answer: Answer, status: int, word: str, message: str, *details: dict[str, Any]) -> None:
    error = {"code": status, "message": message, "status": word, "details": details}
    answer.json(status, [{"error": error}] if status == 429 else {"error": error})


def _shortened(config: _Config, script: Script) -> tuple[Script, str]:
    """Thoughts only where they were asked for, and no more tokens than may be."""
    if config.thinking_config is None or not config.thinking_config.include_thoughts:
        script = replace(script, thoughts=())
    script, is_cut = cut_to(script, config.max_output_tokens)
    return script, "MAX_TOKENS" if is_cut else "STOP"


class GeminiVoice(Voice):
    content_type = b"text/event-stream"

    def __init__(self, model: str, question: str, reason: str) -> None:
        self._model = model
        self._input = max(1, len(question) // 4)
        self._reason = reason
        self._id = secrets.token_urlsafe(16)

    def token(self, text: str) -> bytes:
        return _event(self.chunk([{"text": text}]))

    def thought(self, text: str) -> bytes:
        return _event(self.chunk([{"text": text, "thought": True}]))

    def closing(self, tokens: int) -> bytes:
        return _event(self.chunk([{"text": "", "thoughtSignature": "c2lnbmVk"}], self._reason, tokens))

    def try_later(self) -> bytes:
        """As it is seen on the wire: not as an event, and over several lines."""
        error = {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}
        return msgspec.json.format(_encode({"error": error}), indent=2).replace(b"\n", b"\r\n") + b"\r\n"

    def blocked(self) -> bytes:
        """Instead of an answer: the question was not let through."""
        frame = self.chunk([])
        del frame["candidates"]
        return _event({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **frame})

    def chunk(self, parts: list[dict[str, Any]], reason: str | None = None, tokens: int = 0) -> dict[str, Any]:
        """`tokens`: of the reply so far; there is no count before the first."""
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if reason is not None:
            candidate["finishReason"] = reason
        usage: dict[str, Any] = {"promptTokenCount": self._input, "totalTokenCount": self._input + tokens}
        if tokens:
            usage["candidatesTokenCount"] = tokens
        return {
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": self._model, "responseId": self._id
        }  # fmt: skip


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + _encode(value) + b"\r\n\r\n"


RIG = UpstreamRig(
    simulator=GeminiSimulator,
    table={"kind": "gemini", "api_key": "env:KEY", "thoughts": True},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
