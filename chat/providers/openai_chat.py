"""OpenAI's Chat Completions stream, as spoken by OpenAI and by many others with differences of their own.

Source: the OpenAI API reference, "Chat Completions", and what DeepSeek, Qwen, GLM, Moonshot, Qianfan, Spark's HTTP
interface, vLLM, llama.cpp and Ollama are seen to send. Unknown fields are ignored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Literal

import httpx
import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Reasoning, Text, Usage
from chat.providers import http_errors
from chat.providers.base import ChatRequest, Model, Provider, Timeouts
from chat.providers.http import open_response
from chat.providers.text import TextJoiner
from chat.wire.sse import ServerSentEvent, SSEDecoder, SSELimitExceeded

MAX_ERROR_BODY = 64 * 1024
"""Bytes read of an error's body, to tell an empty purse from a busy hour."""

_FINISH = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
}
_UNFINISHED = frozenset({"", "null"})
_CUT_SHORT = frozenset({"insufficient_system_resource", "network_error", "abort", "aborted"})


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    index: int = 0


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    code: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk, strict=False).decode


class OpenAIChat(Provider):
    kind = "openai_chat"
    upstream = "sse"

    def __init__(
        self,
        id: str,
        label: str,
        models: tuple[Model, ...],
        timeouts: Timeouts,
        retries: int,
        fallback: tuple[str, ...],
        *,
        base_url: str,
        api_key: str | None,
        stop_mark: Literal["optional", "required"] = "optional",
        client: httpx.AsyncClient,
    ) -> None:
        self.id = id
        self.label = label
        self.models = models
        self.timeouts = timeouts
        self.retries = retries
        self.fallback = fallback
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._api_key = api_key
        self._stop_mark = stop_mark
        self._client = client

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent, None]:
        answered = False
        try:
            async with open_response(self._client, self._request(request)) as response:
                answered = True
                await self._check(response)
                reply = _Reply(self.id)
                async with aclosing(response.stream.__aiter__()) as chunks:  # type: ignore[union-attr, type-var]
                    async for chunk in chunks:
                        for event in reply.read(chunk):
                            yield event
                        if reply.done:
                            break
                for event in reply.end(self._stop_mark == "required"):
                    yield event
        except httpx.HTTPError as error:
            raise http_errors.of_exception(error, provider=self.id, answered=answered) from None

    async def aclose(self) -> None:
        """The client is shared; whoever made it closes it."""

    def _request(self, request: ChatRequest) -> httpx.Request:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": turn.role, "content": turn.text} for turn in request.turns],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for name in ("temperature", "top_p", "max_tokens"):
            if (value := getattr(request.params, name)) is not None:
                body[name] = value
        if request.user:
            body["user"] = request.user
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return httpx.Request(
            "POST",
            self._url,
            headers=headers,
            content=msgspec.json.encode(body),
            extensions={"pace": request.pace, "timeout": {"connect": self.timeouts.connect}},
        )

    async def _check(self, response: httpx.Response) -> None:
        """Raises UpstreamError for an answer that is no stream."""
        encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
        if response.status_code == 200 and not encoded and "json" not in response.headers.get("content-type", ""):
            return
        if encoded:
            raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self.id})
        body = bytearray()
        async for chunk in response.stream:  # type: ignore[union-attr]
            body += chunk
            if len(body) > MAX_ERROR_BODY:
                break
        if response.status_code == 200:
            raise _of_error_object(_error_in(bytes(body)), self.id)
        error = http_errors.of_status(response.status_code, response.headers, provider=self.id)
        words = _words_of(_error_in(bytes(body)))
        if "insufficient_quota" in words or "exceeded_current_quota" in words:
            error = UpstreamError(ErrorCode.UPSTREAM_AUTH, details=error.details)
        elif response.status_code in (400, 403) and _speaks_of_content(words):
            error = UpstreamError(ErrorCode.CONTENT_FILTERED, details=error.details)
        raise error


class _Reply:
    """What one stream has said so far."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._decoder = SSEDecoder()
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self._finish: FinishReason | None = None
        self._usage: _Usage | None = None
        self.done = False

    def read(self, chunk: bytes) -> Iterator[ProviderEvent]:
        try:
            blocks = self._decoder.decode(chunk)
        except SSELimitExceeded:
            raise self._broken() from None
        return self._events(blocks)

    def end(self, mark_required: bool) -> Iterator[ProviderEvent]:
        """The connection has ended, or the end mark has come."""
        if not self.done:
            blocks = [block for block in self._decoder.flush() if _is_whole(block.data)]
            yield from self._events(blocks)
        if lone := self._text.flush():
            yield Text(lone)
        if (self._finish is None and not self.done) or (mark_required and not self.done):
            raise self._broken()
        if self._usage is not None:
            yield Usage(self._usage.prompt_tokens or 0, self._usage.completion_tokens or 0)
        yield Finish(self._finish or FinishReason.STOP)

    def _events(self, blocks: list[ServerSentEvent]) -> Iterator[ProviderEvent]:
        for block in blocks:
            data = block.data
            if data.startswith("[DONE]"):
                self.done = True
                return
            if not data.strip():
                continue
            chunk = self._parse(data)
            if chunk.error or (isinstance(chunk.code, int) and chunk.code and not chunk.choices):
                raise _of_error_object(chunk.error or {"code": chunk.code}, self._provider)
            if chunk.usage is not None:
                self._usage = chunk.usage
            if block.event == "error":
                raise _of_error_object({}, self._provider)
            for choice in chunk.choices or ():
                if choice.index == 0:
                    yield from self._choice(choice)

    def _choice(self, choice: _Choice) -> Iterator[ProviderEvent]:
        delta = choice.delta
        if delta is not None:
            thought = delta.reasoning_content or delta.reasoning
            if thought and (thought := self._reasoning.join(thought)):
                yield Reasoning(thought)
            said = delta.content or delta.refusal
            if said and (said := self._text.join(said)):
                yield Text(said)
        if choice.usage is not None:
            self._usage = choice.usage
        reason = choice.finish_reason
        if reason is not None and reason not in _UNFINISHED:
            if reason in _CUT_SHORT:
                raise UpstreamError(
                    ErrorCode.UPSTREAM_UNAVAILABLE, details={"provider": self._provider}, attempt_again=True
                )
            self._finish = _FINISH.get(reason, FinishReason.STOP)

    def _parse(self, data: str) -> _Chunk:
        try:
            return _decode_chunk(data)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return self._parse_leniently(data)

    def _parse_leniently(self, data: str) -> _Chunk:
        """The standard library reads lone surrogates, which some upstreams send by splitting a pair."""
        try:
            return msgspec.convert(json.loads(data), _Chunk, strict=False)
        except (ValueError, msgspec.ValidationError):
            raise self._broken() from None

    def _broken(self) -> UpstreamError:
        return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self._provider})


def _is_whole(data: str) -> bool:
    """Whether a block that lacks its empty line was complete all the same."""
    if data.startswith("[DONE]"):
        return True
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True


def _error_in(body: bytes) -> Any:
    try:
        parsed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return parsed.get("error", parsed) if isinstance(parsed, dict) else {}


def _words_of(error: Any) -> str:
    """The error's machine-readable words, to recognise it by."""
    if not isinstance(error, dict):
        return str(error).lower()
    return " ".join(str(error.get(name, "")) for name in ("type", "code", "message")).lower()


def _speaks_of_content(words: str) -> bool:
    return any(sign in words for sign in ("content_filter", "content_policy", "datainspection", "unsafe"))


def _of_error_object(error: Any, provider: str) -> UpstreamError:
    """An `error` object where the stream should be, or in it."""
    words = _words_of(error)
    details = {"provider": provider}
    if not words.strip():
        return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details=details)
    if _speaks_of_content(words):
        return UpstreamError(ErrorCode.CONTENT_FILTERED, details=details)
    if any(sign in words for sign in ("rate_limit", "rate limit", "too many", "429", "overloaded_rate")):
        return UpstreamError(ErrorCode.UPSTREAM_RATE_LIMITED, details=details, attempt_again=True)
    if any(sign in words for sign in ("invalid_api_key", "authentication", "insufficient_quota", "permission")):
        return UpstreamError(ErrorCode.UPSTREAM_AUTH, details=details)
    if "invalid_request" in words or "context_length" in words:
        return UpstreamError(ErrorCode.UPSTREAM_REJECTED, details=details)
    return UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, details=details, attempt_again=True)
