"""Gemini's `streamGenerateContent` as server-sent events.

Source: the Gemini API reference, "Generating content", and the Python SDK's types.py and _api_client.py. The stream
has no end mark: it is whole when a candidate has said why it finishes.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import gemini_errors
from chat.providers.alternation import alternating
from chat.providers.base import ChatRequest, Params, Profile, Take, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.http_adapter import HttpAdapter
from chat.providers.json_frames import FrameDecoder
from chat.providers.sse_reply import DONE, MAX_OBJECT, SSEReply
from chat.providers.token_counts import tokens_at, total

TEMPERATURE_MOST = 2.0
PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})
"""Of the kinds that people send."""

_COLLECTION = re.compile(r"(?:models|tunedModels)/")
_ROLES = {"user": "user", "assistant": "model"}

_FINISH = {
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
}
"""Whatever else it is (`STOP`, `OTHER`, `MALFORMED_FUNCTION_CALL` …) is a stop."""

_UNFINISHED = frozenset({"", "FINISH_REASON_UNSPECIFIED"})

_INPUT = ("promptTokenCount", "toolUsePromptTokenCount")
_OUTPUT = ("candidatesTokenCount", "thoughtsTokenCount")
"""What was thought is paid as what was said."""

_BARE = (b"[", b"{")
_BARE_LINE = re.compile(rb"[\r\n][\[{]")
"""How a line begins that is JSON without `data:`."""


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    index: int | None = 0


class _PromptFeedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _PromptFeedback | None = None
    usage_metadata: Any = None
    error: Any = None


_decode = FrameDecoder(_Chunk).decode


class Gemini(HttpAdapter):
    """`base_url` ends with the version: `/models/…` follows. `thoughts`: to be told what the model thinks."""

    kind = "gemini"
    upstream = "sse"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str,
        thoughts: bool = False,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        super().__init__(profile, base_url, [(b"x-goog-api-key", api_key.encode())], http)
        self._base_url = base_url.rstrip("/")
        self._thoughts = thoughts

    def url(self, request: ChatRequest) -> httpx.URL:
        match = _COLLECTION.match(request.model)
        collection = match[0] if match else "models/"
        name = quote(request.model.removeprefix(collection), safe="")
        return httpx.URL(f"{self._base_url}/{collection}{name}:streamGenerateContent?alt=sse")

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        return gemini_errors.refine(error, body)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        if any(picture.content_type not in PICTURES for turn in request.turns for picture in turn.pictures):
            details = {"provider": self.id, "cause": Cause.PICTURES}
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details=details)
        instructions, turns = alternating(request.turns)
        if not turns or turns[-1].role == "assistant":
            turns.append(Turn("user", CONTINUE))
        body: dict[str, Any] = {"contents": [_content(turn) for turn in turns]}
        if instructions:
            body["systemInstruction"] = {"parts": [{"text": instructions}]}
        if config := self._config(request.params):
            body["generationConfig"] = config
        return body

    def _config(self, params: Params) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if params.temperature is not None:
            config["temperature"] = min(max(params.temperature, 0.0), TEMPERATURE_MOST)
        if params.top_p is not None:
            config["topP"] = min(max(params.top_p, 0.0), 1.0)
        if params.max_tokens is not None:
            config["maxOutputTokens"] = max(params.max_tokens, 1)
        if self._thoughts:
            config["thinkingConfig"] = {"includeThoughts": True}
        return config


def _content(turn: Turn) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": picture.content_type, "data": base64.b64encode(picture.data).decode()}}
        for picture in turn.pictures
    ]
    if turn.text.strip():
        parts.append({"text": turn.text})
    return {"role": _ROLES[turn.role], "parts": parts}


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self._at_line_start = True
        # An error comes without `data:`, in mid-stream too, and over as many lines as it has.
        self._bare: bytearray | None = None
        self._counts: dict[str, int] = {}

    def read(self, chunk: bytes) -> bool:
        if self._bare is None:
            begin = self._find_bare(chunk)
            if begin < 0:
                return super().read(chunk)
            super().read(chunk[:begin] + b"\n\n")  # it may lack its empty line
            self._bare, chunk = bytearray(), chunk[begin:]
        self._bare += chunk
        if len(self._bare) > MAX_OBJECT:
            raise self.broken()
        if chunk.rstrip().endswith((b"}", b"]")):
            self._check_bare()
        return False

    def read_rest(self) -> None:
        if self._bare is None:
            super().read_rest()
        else:
            self._check_bare()

    def read_block(self, name: str, data: bytes) -> None:
        try:
            chunk = _decode(data)
        except ValueError:
            if data.startswith(DONE) or not data.strip():
                return  # of who only imitates Gemini, or keeps the connection alive
            raise self.refused(data) from None
        if chunk.error:
            raise self.refused(data)
        self._count(chunk.usage_metadata)
        if not chunk.candidates and chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            raise self.fail(ErrorCode.CONTENT_FILTERED)
        for candidate in chunk.candidates or ():
            if not candidate.index:  # of several answers, the first
                self._read_candidate(candidate)

    def refused(self, body: bytes) -> UpstreamError:
        error = gemini_errors.error_in(body)
        return self.broken() if error is None else gemini_errors.of_object(error, provider=self.provider)

    def _find_bare(self, chunk: bytes) -> int:
        """Where in this chunk it begins; -1 for nowhere."""
        if self._at_line_start and chunk.startswith(_BARE):
            return 0
        self._at_line_start = chunk.endswith((b"\n", b"\r")) if chunk else self._at_line_start
        match = _BARE_LINE.search(chunk)
        return -1 if match is None else match.start() + 1

    def _check_bare(self) -> None:
        error = gemini_errors.error_in(bytes(self._bare or b""))
        if error is not None:
            raise gemini_errors.of_object(error, provider=self.provider)

    def _read_candidate(self, candidate: _Candidate) -> None:
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.thought:
                self.think(part.text)
            else:
                self.say(part.text)
        reason = candidate.finish_reason
        if reason is not None and reason not in _UNFINISHED:
            self.finish(_FINISH.get(reason, FinishReason.STOP))

    def _count(self, usage: Any) -> None:
        """Each report holds the totals so far, of what it holds."""
        for name in _INPUT + _OUTPUT:
            if (known := tokens_at(usage, name)) is not None:
                self._counts[name] = known
        self.count(total(*map(self._counts.get, _INPUT)), total(*map(self._counts.get, _OUTPUT)))
