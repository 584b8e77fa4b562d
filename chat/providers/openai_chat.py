"""OpenAI's Chat Completions stream, as spoken by OpenAI and by many others with differences of their own.

Source: the OpenAI API reference, "Chat Completions", and what DeepSeek, Qwen, GLM, Moonshot, Qianfan, Spark's HTTP
interface, vLLM, llama.cpp and Ollama are seen to send. Unknown fields are ignored.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import httpx
import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Reasoning, Text, Usage
from chat.providers import http_errors, openai_errors
from chat.providers.base import ChatRequest, Model, Provider, Take, Timeouts
from chat.providers.http import open_response, pour
from chat.providers.http_request import post, prepared
from chat.providers.text import TextJoiner
from chat.wire.sse import RawEvent, SSEDecoder, SSELimitExceeded

MAX_ERROR_BODY = 64 * 1024
"""Bytes read of an error's body, to tell an empty purse from a busy hour …"""

ERROR_BODY_SECONDS = 5.0
"""… and how long it is waited for: the status alone says enough."""

_FINISH = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
}
"""Whatever else an upstream calls it (`stop`, `normal`, `eos`, `tool_calls` …) is a stop."""

_UNFINISHED = frozenset({"", "null"})
_CUT_SHORT = frozenset({"insufficient_system_resource", "network_error", "abort", "aborted", "error"})
_BLANK = b" \t\r\n"


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
    index: int | None = 0


MAX_LINE = 4 << 20
"""Bytes of one line of the stream (4 MiB): far more than any piece of text is."""


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
        prefill: Literal["no", "plain", "prefix", "continue_final_message"] = "no",
        http: httpx.AsyncBaseTransport,
    ) -> None:
        self.id = id
        self.label = label
        self.models = models
        self.timeouts = timeouts
        self.retries = retries
        self.fallback = fallback
        self._url = httpx.URL(f"{base_url.rstrip('/')}/chat/completions")
        headers = [(b"Content-Type", b"application/json"), (b"Accept", b"text/event-stream")]
        if api_key is not None:
            headers.append((b"Authorization", b"Bearer " + api_key.encode()))
        self._headers = prepared(self._url, headers)
        self._stop_mark = stop_mark
        self._prefill = prefill
        self.prefills = prefill != "no"
        self._http = http

    async def stream(self, request: ChatRequest, take: Take) -> None:
        answered = False
        try:
            async with open_response(self._http, self._request(request)) as response:
                answered = True
                await self._check(response)
                reply = _Reply(self.id, take)
                await pour(response, reply.read)
                reply.end(self._stop_mark == "required")
        except httpx.HTTPError as error:
            raise http_errors.of_exception(error, provider=self.id, answered=answered) from None

    async def aclose(self) -> None:
        """The transport is shared; whoever made it closes it."""

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
        if request.turns and request.turns[-1].role == "assistant":
            self._ask_to_go_on(body)
        if request.user:
            body["user"] = request.user
        return post(self._url, self._headers, msgspec.json.encode(body), request.pace, self.timeouts.connect)

    def _ask_to_go_on(self, body: dict[str, Any]) -> None:
        """With the words of who serves the model: DeepSeek's, vLLM's, or none, where the turn itself is enough."""
        if self._prefill == "prefix":
            body["messages"][-1]["prefix"] = True
        elif self._prefill == "continue_final_message":
            body |= {"continue_final_message": True, "add_generation_prompt": False}

    async def _check(self, response: httpx.Response) -> None:
        """Raises UpstreamError for an answer that is no stream."""
        encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
        if response.status_code != 200:
            error = http_errors.of_status(response.status_code, response.headers, provider=self.id)
            raise error if encoded else openai_errors.refine(error, await _error_body(response))
        if encoded:
            raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self.id})


async def _error_body(response: httpx.Response) -> bytes:
    """Its beginning: as much as comes in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            async for chunk in response.stream:  # type: ignore[union-attr]
                body += chunk
                if len(body) > MAX_ERROR_BODY:
                    break
    except (httpx.HTTPError, TimeoutError):
        return b""
    return bytes(body)


class _Reply:
    """What one stream has said so far."""

    def __init__(self, provider: str, take: Take) -> None:
        self._provider = provider
        self._take = take
        self._events: list[ProviderEvent] = []
        self._decoder = SSEDecoder(max_line=MAX_LINE, max_event=MAX_LINE)
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self._finish: FinishReason | None = None
        self._usage: _Usage | None = None
        self._begun = False
        # A body that is one JSON object, in place of a stream: an error with status 200, whatever its content type.
        self._object: bytearray | None = None
        self.done = False

    def read(self, chunk: bytes) -> bool:
        """Gives away what this chunk completes; True at the end mark."""
        if not self._begun and (start := chunk.lstrip(_BLANK)):
            self._begun = True
            if start.startswith(b"{"):
                self._object = bytearray()
        if self._object is not None:
            self._object += chunk
            if len(self._object) > MAX_ERROR_BODY:
                raise self._broken()
            return False
        try:
            self._read_blocks(self._decoder.decode_raw(chunk))
        except SSELimitExceeded:
            raise self._broken() from None
        finally:
            self._give_away()
        return self.done

    def end(self, mark_required: bool) -> None:
        """The connection has ended, or the end mark has come."""
        if self._object is not None:
            raise self._refused(bytes(self._object))
        try:
            if not self.done:
                self._read_blocks(self._unended())
            if lone := self._reasoning.flush():
                self._events.append(Reasoning(lone))
            if lone := self._text.flush():
                self._events.append(Text(lone))
            if (self._finish is None and not self.done) or (mark_required and not self.done):
                raise self._broken()
            usage = self._usage
            if usage is not None and not (usage.prompt_tokens is None and usage.completion_tokens is None):
                self._events.append(Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0))
            self._events.append(Finish(self._finish or FinishReason.STOP))
        finally:
            self._give_away()

    def _give_away(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._take(events)

    def _unended(self) -> list[RawEvent]:
        """The last block, where only its empty line is missing."""
        try:
            return [block for block in self._decoder.flush_raw() if _is_whole(block[1])]
        except SSELimitExceeded:
            raise self._broken() from None

    def _read_blocks(self, blocks: list[RawEvent]) -> None:
        for name, data, _id, _retry in blocks:
            if data.startswith(b"[DONE]"):
                self.done = True
                return
            if name == "error":
                raise openai_errors.of_object(openai_errors.error_in(data), provider=self._provider)
            chunk = self._parse(data)
            if chunk is None:
                continue
            if chunk.error or (chunk.code and not chunk.choices):
                raise self._refused(data)
            if chunk.usage is not None:
                self._usage = chunk.usage
            for choice in chunk.choices or ():
                if not choice.index:  # of several answers, the first
                    self._read_choice(choice)

    def _read_choice(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None:
            thought = delta.reasoning_content or delta.reasoning
            if thought and (thought := self._reasoning.join(thought)):
                self._events.append(Reasoning(thought))
            said = delta.content or delta.refusal
            if said and (said := self._text.join(said)):
                self._events.append(Text(said))
        if choice.usage is not None:
            self._usage = choice.usage
        reason = choice.finish_reason
        if reason is not None and reason not in _UNFINISHED:
            if reason in _CUT_SHORT:
                raise UpstreamError(
                    ErrorCode.UPSTREAM_UNAVAILABLE, details={"provider": self._provider}, attempt_again=True
                )
            self._finish = _FINISH.get(reason, FinishReason.STOP)

    def _parse(self, data: bytes) -> _Chunk | None:
        """None for a block of blanks, which some send to keep the connection alive."""
        try:
            return _decode_chunk(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._parse_leniently(data.decode("utf-8", "replace"))

    def _parse_leniently(self, data: str) -> _Chunk | None:
        """The standard library reads lone surrogates, which some upstreams send by splitting a pair."""
        if not data.strip():
            return None
        try:
            return msgspec.convert(json.loads(data), _Chunk, strict=False)
        except (ValueError, RecursionError, msgspec.ValidationError):
            raise self._broken() from None

    def _refused(self, data: bytes) -> UpstreamError:
        error = openai_errors.error_in(data)
        return self._broken() if error is None else openai_errors.of_object(error, provider=self._provider)

    def _broken(self) -> UpstreamError:
        return UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self._provider})


def _is_whole(data: bytes) -> bool:
    """Whether a block that lacks its empty line was complete all the same."""
    if data.startswith(b"[DONE]"):
        return True
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
